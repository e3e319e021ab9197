"""What `./run` starts as Airflow's scheduler: ends the idle workers of one that was killed, and becomes the scheduler.

A scheduler that is killed takes none of its LocalExecutor's workers with it. They wait for work for ever, 50 MB each.
One that is at a task finishes it, and goes with the next start.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from upbit_elt.stack import processes
from upbit_elt.stack.names import MARKER

IDLE = "airflow worker -- LocalExecutor: <idle>"


def end_idle_workers(data_dir: Path) -> int:
    """End the stack's workers that have no task; gives their number. To be called while no scheduler runs."""
    idle = [process for process in processes.members(data_dir) if _title(process).startswith(IDLE)]
    for process in idle:
        with suppress(psutil.NoSuchProcess):
            process.kill()  # it holds nothing
    return len(idle)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


if __name__ == "__main__":
    if count := end_idle_workers(Path(os.environ[MARKER])):
        sys.stderr.write(f"ended {count} idle workers of a scheduler that was killed\n")
    os.execv(sys.executable, [sys.executable, "-m", "airflow", "scheduler", *sys.argv[1:]])  # noqa: S606 - this very Python
