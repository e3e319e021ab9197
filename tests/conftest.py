"""What the tests share: real daemons, started once a run, on free ports, in a folder of their own.

A test that needs them (by a fixture, or for its `edge` by the mark `daemons`) has the mark `daemons`, so that `./test`
runs those beside the others. What is marked `soak` runs in `./test soak` alone; what takes an `edge` runs there too,
on the daemons (UPBIT_TEST_EDGE=daemons).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.edges import DaemonEdge, Edge, MemoryEdge
from tests.support.machine import SHARED_JARS, Machine, running
from tests.support.ports import stack_ports
from tests.support.stack import Stack
from upbit_elt.settings import Settings
from upbit_elt.stack import jars
from upbit_elt.stack.names import REPO, variable
from upbit_elt.stack.options import StackSettings, load

ARTIFACTS = REPO / ".artifacts"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the daemons, and what can do without."""
    for item in items:
        used = getattr(item, "fixturenames", ())
        if "daemon_stack" in used:
            item.add_marker("daemons")
        elif "edge" in used:
            item.add_marker("edge")


def note_started() -> None:
    """Tell `./test`, which waits with what would start beside the stack."""
    ARTIFACTS.mkdir(exist_ok=True)
    (ARTIFACTS / "stack.up").touch()


@pytest.fixture(scope="session")
def shared_jars() -> Path:
    """Folder with the jars of Hadoop and Hive; fetched when they are missing."""
    jars.fetch(SHARED_JARS)
    return SHARED_JARS


@pytest.fixture(scope="session")
def daemon_stack(tmp_path_factory: pytest.TempPathFactory, shared_jars: Path) -> StackSettings:
    """Folders and ports of the daemons of this run."""
    return load(data_dir=tmp_path_factory.mktemp("daemons"), jars_dir=shared_jars, **stack_ports())


@pytest.fixture(scope="session")
def machine(daemon_stack: StackSettings) -> Iterator[Machine]:
    """The daemons of this run, each of which a test may kill if it revives them."""
    given = {"dataset": "replica", "base_url": daemon_stack.replica_url, "flask_token": "test-token"}
    with running(daemon_stack, **given) as machine:
        note_started()
        yield machine


@pytest.fixture(scope="session")
def daemons(machine: Machine) -> Settings:
    """Settings (dataset `replica`) that point to a NameNode, a DataNode and a HiveServer2 that can do their work."""
    return machine.settings


@pytest.fixture
def edge(request: pytest.FixtureRequest) -> Edge:
    """Where a test's lake and tables are: in memory; on the daemons where it is marked so, and in `./test soak`."""
    if request.node.get_closest_marker("daemons") or os.environ.get("UPBIT_TEST_EDGE") == "daemons":
        return DaemonEdge(request.getfixturevalue("daemons"))
    return MemoryEdge()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, shared_jars: Path) -> Iterator[Stack]:
    """Everything, started by `./run --exchange replica`; stopped at the end of the run."""
    data = tmp_path_factory.mktemp("stack")
    folders = {"UPBIT_RUN_DATA_DIR": str(data), "UPBIT_RUN_JARS_DIR": str(shared_jars)}
    outage = {"UPBIT_REPLICA_OUTAGE_FILE": str(data / "outage")}
    little = {"UPBIT_ELT_HISTORY_DAYS": "1"}  # a week of 289 markets takes the machine an hour
    stack = Stack(folders | outage | little | {variable(name): str(port) for name, port in stack_ports().items()})
    try:
        stack.start()
        note_started()
        yield stack
    finally:
        stack.run("stop")
