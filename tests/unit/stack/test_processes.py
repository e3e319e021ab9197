from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from upbit_elt.stack import processes
from upbit_elt.stack.names import MARKER

# starts a child in a session of its own, says its pid, and ends: the child is an orphan
ORPHANS = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {body!r}], start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
import os; os._exit(0)
"""
SLEEPS = "print('up', flush=True); import time; time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPS

Spawn = Callable[[Path, str], psutil.Process]


def kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    with ExitStack() as at_end:

        def orphan(data_dir: Path, body: str) -> psutil.Process:
            command = [sys.executable, "-c", ORPHANS.format(body=body)]
            said = subprocess.run(
                command, env=os.environ | {MARKER: str(data_dir)}, stdout=subprocess.PIPE, text=True, check=True
            )
            process = psutil.Process(int(said.stdout))
            at_end.callback(kill, process)
            return process

        yield orphan


def test_orphans_of_a_stack_are_found_and_ended(tmp_path: Path, spawn: Spawn) -> None:
    mine, other = spawn(tmp_path / "mine", SLEEPS), spawn(tmp_path / "other", SLEEPS)
    assert processes.members(tmp_path / "mine") == [mine]
    assert processes.end(tmp_path / "mine", 5) == []
    assert not processes.alive(mine.pid)
    assert processes.alive(other.pid)


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path, spawn: Spawn) -> None:
    stubborn = spawn(tmp_path, STUBBORN)
    assert processes.end(tmp_path, 0.5) == []
    assert not processes.alive(stubborn.pid)


def test_the_caller_and_its_parents_are_no_members(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from upbit_elt.stack import processes; import sys;"
        "print(len(processes.members(Path(sys.argv[1]))))"
    )
    environment = os.environ | {MARKER: str(tmp_path), "PYTHONPATH": "plugins"}
    command = f"{sys.executable} -c '{code}' {tmp_path}; true"
    said = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "0"


def test_resident_memory_is_of_the_whole_tree() -> None:
    hungry = "x = bytearray(60_000_000); " + SLEEPS
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hungry!r}])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        try:
            assert 60 < processes.resident_mb(parent.pid) < 200
        finally:
            os.killpg(parent.pid, 9)
    assert processes.resident_mb(parent.pid) == 0
