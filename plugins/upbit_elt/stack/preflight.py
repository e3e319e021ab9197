"""What must be so before anything is started: room on the disk, and free ports."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterable
from pathlib import Path

from upbit_elt.errors import StackError
from upbit_elt.stack import processes
from upbit_elt.stack.options import HOST, StackSettings, variable
from upbit_elt.stack.services import Service


def free_gb(folder: Path) -> float:
    """Free disk space (10^9 bytes) where a folder is, or will be."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(there).free / 1e9


def check_disk(stack: StackSettings) -> None:
    """Raises StackError when the data folder's disk is nearly full."""
    free = free_gb(stack.data_dir)
    if free < stack.min_free_gb:
        raise StackError(
            f"only {free:.1f} GB are free for {stack.data_dir}, {stack.min_free_gb:g} GB are needed: make room, "
            "or choose another disk with UPBIT_RUN_DATA_DIR"
        )


def taken_ports(stack: StackSettings, services: Iterable[Service]) -> list[str]:
    """One line for every port of these services that something else has: which, who, and which setting moves it."""
    lines = []
    for service in services:
        for name in service.ports:
            port = getattr(stack, name)
            if not _free(port):
                who = processes.listener(port)
                lines.append(f"port {port} ({service.name}) is taken by {who}: end it, or set {variable(name)}")
    return lines


def check_ports(stack: StackSettings, services: Iterable[Service]) -> None:
    """Raises StackError naming every port that is taken."""
    if lines := taken_ports(stack, services):
        raise StackError("; ".join(lines))


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
