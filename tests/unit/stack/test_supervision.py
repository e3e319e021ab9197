"""A real supervisord with trivial services."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest

from upbit_elt.errors import StackError
from upbit_elt.stack import environment, halt, processes
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.polling import becomes_true
from upbit_elt.stack.services import Service
from upbit_elt.stack.supervision import Supervisor, configuration

SLEEPS = "import os, time; print('hello 100%', os.environ['COLOUR'], flush=True); time.sleep(600)"
CHILD = "subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)"
WITH_CHILD = f"import subprocess, sys; {CHILD}"


def soon(condition: Callable[[], object]) -> bool:
    return becomes_true(condition, 20)


@pytest.fixture
def supervisor(stack: StackSettings) -> Iterator[Supervisor]:
    table = [
        Service("plain", (sys.executable, "-c", SLEEPS.replace("'", '"')), lambda: None),
        Service("parent", (sys.executable, "-c", WITH_CHILD.replace("'", '"')), lambda: None),
    ]
    one = Supervisor(stack)
    one.start_daemon(configuration(stack, table), os.environ | environment.common(stack) | {"COLOUR": "blue"})
    yield one
    processes.end(stack.data_dir, 5)


def test_services_start_on_demand_and_inherit_the_environment(supervisor: Supervisor, stack: StackSettings) -> None:
    assert not supervisor.state("plain").running
    supervisor.start("plain")
    supervisor.start("plain")
    log = stack.logs_dir / "plain.log"
    assert soon(lambda: log.exists() and log.read_text())
    assert log.read_text() == "hello 100% blue\n"


def test_a_service_that_dies_is_started_again(supervisor: Supervisor) -> None:
    supervisor.start("plain")
    # before that it would only be a failed start, which is tried again anyhow
    assert soon(lambda: supervisor.state("plain").state == "RUNNING")
    first = supervisor.state("plain").pid
    assert first is not None
    psutil.Process(first).kill()
    assert soon(lambda: (supervisor.state("plain").pid or first) != first)


def test_stop_ends_grandchildren_in_sessions_of_their_own(supervisor: Supervisor, stack: StackSettings) -> None:
    supervisor.start("parent")
    assert soon(lambda: len(processes.members(stack.data_dir)) == 3)
    assert halt.halt(stack) == 3
    assert processes.members(stack.data_dir) == []
    assert halt.halt(stack) == 0


def test_a_killed_supervisord_leaves_nothing_that_stop_does_not_end(
    supervisor: Supervisor, stack: StackSettings
) -> None:
    supervisor.start("plain")
    log = stack.logs_dir / "plain.log"
    # a service that had not yet said its word would die of the pipe that supervisord leaves behind
    assert soon(lambda: log.exists() and log.read_text())
    pid = int((stack.run_dir / "supervisord.pid").read_text())
    psutil.Process(pid).kill()
    assert soon(lambda: not supervisor.alive())
    assert halt.halt(stack) == 1
    assert (stack.run_dir / "supervisor.sock").exists()
    supervisor.start_daemon(supervisor.config.read_text(), os.environ | environment.common(stack) | {"COLOUR": "red"})
    assert supervisor.alive()


def test_without_a_supervisord_the_error_says_what_starts_it(stack: StackSettings) -> None:
    assert not Supervisor(stack).alive()
    with pytest.raises(StackError, match=r"\./run starts it"):
        Supervisor(stack).states()
