"""Real daemons for the integration tests: started once a run, on free ports, in a folder of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.stack import Stack
from upbit_elt.settings import Settings
from upbit_elt.stack import environment, jars, services
from upbit_elt.stack.options import REPO, StackSettings, load, port_names, variable
from upbit_elt.stack.services import Service
from upbit_elt.stack.waiting import until

SHARED_JARS = Path(os.environ.get("UPBIT_RUN_JARS_DIR", REPO / ".data" / "jars"))


def free_ports() -> dict[str, int]:
    """A free loopback port for every port of the stack, all different."""
    with ExitStack() as held:
        sockets = {name: held.enter_context(socket.socket()) for name in port_names()}
        for one in sockets.values():
            one.bind(("127.0.0.1", 0))
        return {name: one.getsockname()[1] for name, one in sockets.items()}


@pytest.fixture(scope="session")
def ports() -> Callable[[], dict[str, int]]:
    """Gives free ports, by setting name."""
    return free_ports


@pytest.fixture(scope="session")
def shared_jars() -> Path:
    """Folder with the jars of Hadoop and Hive; fetched when they are missing."""
    jars.fetch(SHARED_JARS)
    return SHARED_JARS


@pytest.fixture(scope="session")
def daemon_stack(tmp_path_factory: pytest.TempPathFactory, shared_jars: Path) -> StackSettings:
    """Folders and ports of the daemons of this run."""
    return load(data_dir=tmp_path_factory.mktemp("daemons"), jars_dir=shared_jars, **free_ports())


@pytest.fixture(scope="session")
def daemons(daemon_stack: StackSettings) -> Iterator[Settings]:
    """Settings (dataset `replica`) that point to a NameNode, a DataNode and a HiveServer2 that can do their work."""
    settings = environment.settings_for(
        daemon_stack, dataset="replica", base_url=daemon_stack.replica_url, flask_token="test-token"
    )
    table = services.daemons(daemon_stack, settings)
    with ExitStack() as running:
        for service in table:
            running.enter_context(process(service, daemon_stack))
        for service in table:
            wait_until_healthy(service, daemon_stack)
        yield settings


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, shared_jars: Path) -> Iterator[Stack]:
    """Everything, started by `./run --exchange replica`; stopped at the end of the run."""
    folders = {"UPBIT_RUN_DATA_DIR": str(tmp_path_factory.mktemp("stack")), "UPBIT_RUN_JARS_DIR": str(shared_jars)}
    running = Stack(folders | {variable(name): str(port) for name, port in free_ports().items()})
    try:
        started = running.run("--exchange", "replica", timeout=900)
        assert started.returncode == 0, started.stdout + started.stderr
        yield running
    finally:
        running.run("stop")


@contextmanager
def process(service: Service, stack: StackSettings) -> Iterator[subprocess.Popen[bytes]]:
    """One service as a child of the test; its log is `logs/NAME.log` in the data folder."""
    stack.logs_dir.mkdir(parents=True, exist_ok=True)
    variables = os.environ | environment.common(stack) | environment.hadoop(stack)
    with (
        (stack.logs_dir / f"{service.name}.log").open("ab") as log,
        subprocess.Popen(
            service.command, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        ) as child,
    ):
        try:
            yield child
        finally:
            _end(child, service.stop_seconds)


def _end(child: subprocess.Popen[bytes], seconds: float) -> None:
    if child.poll() is not None:
        return
    os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)


def wait_until_healthy(service: Service, stack: StackSettings) -> None:
    """Poll the service's own check; fails with its last words when it takes longer than its patience."""
    if trouble := until(service.check, service.patience, lambda _: None):
        words = (stack.logs_dir / f"{service.name}.log").read_text(errors="replace")[-3000:]
        pytest.fail(f"{service.name} is not healthy after {service.patience:.0f} s: {trouble}\n{words}")
