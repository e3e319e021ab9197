"""A deployment for the whole module, removed with its volumes at the end; figures go to `.artifacts/compose.txt`."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from time import monotonic

import pytest

from tests.support.compose import REPO, Deployment, engine_trouble

FIGURES = REPO / ".artifacts" / "compose.txt"
Note = Callable[[str, object], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without an engine nothing here can run."""
    mine = [item for item in items if Path(item.fspath).is_relative_to(Path(__file__).parent)]
    if mine and (trouble := engine_trouble()):
        for item in mine:
            item.add_marker(pytest.mark.skip(reason=f"no Docker engine: {trouble}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """After a failed test, print what the deployment was doing: it is removed before anyone can look at it."""
    report = yield
    deployment = getattr(item, "funcargs", {}).get("deployment")
    if report.failed and isinstance(deployment, Deployment):
        report.sections.append(("deployment", deployment.story()))
    return report


@pytest.fixture(scope="session")
def note() -> Note:
    """Prints a figure and keeps it for the summary."""
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text("")

    def keep(name: str, value: object) -> None:
        with FIGURES.open("a") as file:
            file.write(f"{name:40} {value}\n")

    return keep


@pytest.fixture(scope="session")
def new_deployment(tmp_path_factory: pytest.TempPathFactory, note: Note) -> Iterator[Callable[[], Deployment]]:
    """Makes deployments with secrets and free ports of their own, once the images are built; nothing is started."""
    made: list[Deployment] = []

    def make() -> Deployment:
        name = f"upbit-test-{os.environ.get('UPBIT_TEST_RUN', os.getpid())}-{len(made)}"
        deployment = Deployment(name, tmp_path_factory.mktemp("compose") / ".env")
        deployment.configure()
        made.append(deployment)
        return deployment

    began = monotonic()
    make().compose("build", timeout=3000)
    note("build (s)", round(monotonic() - began))
    (FIGURES.parent / "images.built").touch()  # ./test waits with what would start beside it
    yield make
    for deployment in made:
        deployment.compose("--profile", "*", "down", "--volumes", "--timeout", "5", check=False)


@pytest.fixture(scope="module")
def deployment(new_deployment: Callable[[], Deployment], note: Note) -> Deployment:
    """Started with the replica."""
    started = new_deployment()
    began = monotonic()
    started.compose("up", "--wait", "--detach")
    note("up --wait (s)", round(monotonic() - began))
    return started
