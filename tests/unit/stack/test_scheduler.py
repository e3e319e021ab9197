"""What a killed scheduler leaves behind, and the next one ends."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from upbit_elt.stack.names import MARKER
from upbit_elt.stack.scheduler import IDLE, end_idle_workers

Start = Callable[[str, Path], subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process with a title, of the stack in a folder."""
    with ExitStack() as running:

        def begin(title: str, data: Path) -> subprocess.Popen[bytes]:
            command = ["bash", "-c", 'echo; exec -a "$0" sleep 60', title]
            environment = os.environ | {MARKER: str(data)}
            child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
            running.callback(child.wait)
            running.callback(child.kill)
            assert child.stdout
            running.callback(child.stdout.close)
            return child

        yield begin


def titled(child: subprocess.Popen[bytes], title: str) -> bool:
    return Path(f"/proc/{child.pid}/cmdline").read_bytes().startswith(title.encode())


def test_the_idle_workers_of_this_stack_end_and_one_at_a_task_goes_on(start: Start, tmp_path: Path) -> None:
    busy_title = IDLE.replace("<idle>", "01a2204c-7729-7edf-84f6-432e9ca22059")
    idle = [start(IDLE, tmp_path) for _ in range(2)]
    busy, others = start(busy_title, tmp_path), start(IDLE, tmp_path / "other")
    for child, title in ((idle[0], IDLE), (idle[1], IDLE), (busy, busy_title), (others, IDLE)):
        while not titled(child, title):  # it has become the sleep
            assert child.poll() is None
    assert end_idle_workers(tmp_path) == 2
    assert [child.wait(10) for child in idle] == [-9, -9]
    assert (busy.poll(), others.poll()) == (None, None)
    assert end_idle_workers(tmp_path) == 0
