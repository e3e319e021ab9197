"""docker/watchdog.sh, every container's health check: when it ends the main process, with a clock of the test's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.unit.test_compose_file import SERVICES
from upbit_elt.stack.names import REPO
from upbit_elt.stack.polling import becomes_true
from upbit_elt.stack.watchdog import Limits

SCRIPT = REPO / "docker" / "watchdog.sh"
EVERY = 30


class Container:
    """A main process, and looks at it: each has the clock go on and the check exit with a code."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, 1000
        self.main = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

    def look(self, code: int, after: int = EVERY) -> int:
        """Whether the script calls the service healthy (its exit code)."""
        self.now += after
        (self.folder / "uptime").write_text(f"{self.now}.25 1.00\n")
        given = {"MAIN": self.main.pid, "STATE": self.folder / "state", "UPTIME": self.folder / "uptime"}
        given["LOG"] = self.folder / "log"
        variables = {f"WATCHDOG_{name}": str(value) for name, value in given.items()}
        check = ["sh", "-c", f"echo what is wrong; exit {code}"]
        return subprocess.run(
            ["sh", str(SCRIPT), *check], env=os.environ | variables, capture_output=True, check=False
        ).returncode

    @property
    def ended(self) -> bool:
        """Whether the main process was."""
        return self.main.poll() is not None

    def looks_until_ended(self, code: int, most: int = 40) -> int | None:
        """How many looks with this code it took; None when it is not ended by so many."""
        for number in range(1, most + 1):
            self.look(code)
            if self.ended:
                return number
        return None


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    """One whose check has been well once."""
    one = Container(tmp_path)
    assert one.look(0) == 0
    yield one
    one.main.kill()
    one.main.wait()


def test_a_service_that_hangs_for_three_minutes_is_ended(container: Container) -> None:
    assert container.looks_until_ended(3) == 1 + 180 // EVERY
    log = (container.folder / "log").read_text()
    assert log == "watchdog: ending the main process, which hangs: what is wrong, for 180 s\n"


def test_other_faults_end_nothing_and_are_not_healthy(container: Container) -> None:
    assert container.look(1) == 1
    assert container.looks_until_ended(1, most=10) is None


def test_a_service_that_has_not_been_well_yet_has_fifteen_minutes(container: Container) -> None:
    (container.folder / "state").unlink()
    assert container.looks_until_ended(3) == 1 + 900 // EVERY


@pytest.mark.parametrize("between", [0, 1])
def test_an_answer_restarts_the_count(container: Container, between: int) -> None:
    assert container.looks_until_ended(3, most=6) is None
    container.look(between)
    assert container.looks_until_ended(3) == 1 + 180 // EVERY


def test_a_pause_of_three_minutes_is_forgiven(container: Container) -> None:
    assert container.looks_until_ended(3, most=6) is None
    assert container.look(3, after=180) == 1
    assert container.looks_until_ended(3, most=6) is None
    assert container.look(0) == 0


def test_a_frozen_process_whose_children_answer_is_ended_by_force(container: Container) -> None:
    os.kill(container.main.pid, signal.SIGSTOP)
    assert becomes_true(lambda: psutil.Process(container.main.pid).status() == psutil.STATUS_STOPPED, 5)
    assert container.looks_until_ended(0) == 1 + 180 // EVERY
    assert becomes_true(lambda: container.main.poll() == -signal.SIGKILL, 5)
    assert "its process is stopped" in (container.folder / "log").read_text()


def test_the_limits_are_those_of_the_watchdog_of_run() -> None:
    text = SCRIPT.read_text()
    limits = Limits()
    line = f"LOOKS={limits.looks} PATIENCE={limits.patience:.0f} START={limits.start:.0f} LATE={limits.late:.0f}\n"
    assert line in text
    health = next(one["healthcheck"] for one in SERVICES.values() if "healthcheck" in one)
    every, slowest = int(health["interval"].rstrip("s")), int(health["timeout"].rstrip("s"))
    assert every + slowest < limits.late, "a look at its slowest is not taken for a pause"


# The backups' check is of their age, which is told (alert BackupOld) and restarts nothing.
WATCHED = [name for name, one in SERVICES.items() if "healthcheck" in one and name != "backup"]


@pytest.mark.parametrize("name", WATCHED)
def test_every_container_has_it_below_an_init_that_ends_with_its_child(name: str) -> None:
    service = SERVICES[name]
    assert any(str(word).endswith("/watchdog.sh") for word in service["healthcheck"]["test"])
    assert service["init"] is True
    assert service["restart"] == "unless-stopped"
