"""The processes of a stack: found by the mark in their environment, so that orphans are found too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from upbit_elt.stack.names import MARKER
from upbit_elt.stack.polling import becomes_true

_GONE = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess)


def members(data_dir: Path) -> list[psutil.Process]:
    """Every process of the stack in a data folder, this one and its ancestors left out."""
    return list(_members(str(data_dir)))


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but was not waited for by its parent does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end(data_dir: Path, grace: float) -> list[psutil.Process]:
    """End whatever of the stack still runs: politely, after `grace` seconds by force. Gives what survived that."""
    for how in ("terminate", "kill"):
        left = members(data_dir)
        _signal(left, how)
        becomes_true(lambda: not members(data_dir), grace)
    return members(data_dir)


def stopped(pid: int) -> bool:
    """Whether a process is stopped (SIGSTOP), not by a debugger; one that is gone is not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


def end_tree(pid: int, grace: float) -> None:
    """End a process and all below it: politely, after `grace` seconds by force, which ends what is stopped too."""
    tree: list[psutil.Process] = []
    with suppress(*_GONE):
        tree = _tree(pid)
    for how in ("terminate", "kill"):
        _signal(tree, how)
        _, tree = psutil.wait_procs(tree, grace)


def resident_mb(pid: int) -> float:
    """Resident memory (MB, 10^6 bytes) of a process and all below it.

    A page that several processes share (forks do) is divided among them, so that the figures of all services add up
    to the memory that is really used.
    """
    total = 0
    with suppress(*_GONE):
        for process in _tree(pid):
            with suppress(*_GONE):
                total += process.memory_full_info().pss
    return round(total / 1e6, 1)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and all below it, also of children that have ended, and its waits for the disk."""
    total = 0.0
    with suppress(*_GONE):
        for process in _tree(pid):
            with suppress(*_GONE):
                total += sum(process.cpu_times())
    return total


def _members(marker: str) -> Iterator[psutil.Process]:
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        with suppress(*_GONE):
            if process.pid not in own and process.environ().get(MARKER) == marker and alive(process.pid):
                yield process


def _tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _signal(processes: list[psutil.Process], how: str) -> None:
    for process in processes:
        with suppress(*_GONE):
            getattr(process, how)()
