"""What must be so before anything is started: a data folder of our own on a local disk, room, memory, free ports."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from upbit_elt.errors import StackError
from upbit_elt.stack import processes
from upbit_elt.stack.memory import Memory, memory
from upbit_elt.stack.options import HOST, REPO, StackSettings, variable
from upbit_elt.stack.services import Service

_REMOTE = ("9p", "afs", "cifs", "drvfs", "fuse.sshfs", "fuse.vmhgfs-fuse", "nfs", "nfs4", "smb3", "smbfs", "vboxsf")


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


def check_memory(stack: StackSettings, here: Memory | None = None) -> None:
    """Raises StackError when machine or control group have less memory than the services take."""
    here = here or memory()
    if here.total < stack.min_memory_gb * 1e9:
        whose = f"a limit ({here.limit}) leaves" if here.limit else "this machine has"
        raise StackError(
            f"{whose} {here.total / 1e9:.1f} GB of memory, {stack.min_memory_gb:g} GB are needed: give it more, "
            f"or set {variable('min_memory_gb')} and see"
        )


def check_owner(stack: StackSettings, uid: int | None = None) -> None:
    """Raises StackError when files of the data folder belong to another user, as after one `sudo ./run`.

    `uid` is the user who starts; by default this process's.
    """
    uid = os.geteuid() if uid is None else uid
    found = sorted(stack.data_dir.iterdir()) if stack.data_dir.exists() else []
    for path in found:
        owner = path.stat(follow_symlinks=False).st_uid
        if path != stack.jars and owner != uid:
            advice = f"run it as {_name(owner)}, or choose another data folder with {variable('data_dir')}"
            if owner == 0:
                advice = f"after one sudo ./run: sudo ./run stop; sudo chown -R {_name(uid)} {stack.data_dir} {REPO}"
            raise StackError(f"{path} belongs to {_name(owner)}, and you are {_name(uid)}: {advice}")


def check_drive(stack: StackSettings, mounts: Mapping[Path, str] | None = None) -> None:
    """Raises StackError when the data folder is on a network or Windows drive, which has neither locks nor sockets.

    `mounts` are the kinds of file systems by the folder that each is mounted on; by default this machine's.
    """
    if mounts is None:
        mounts = {Path(disk.mountpoint): disk.fstype for disk in psutil.disk_partitions(all=True)}
    for folder in (stack.data_dir, *stack.data_dir.parents[:-1]):
        if kind := mounts.get(folder):
            if kind in _REMOTE:
                raise StackError(
                    f"{stack.data_dir} is on a network or Windows drive ({kind} on {folder}), where databases and "
                    f"sockets do not work: choose a folder on a disk of this machine with {variable('data_dir')}"
                )
            return


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


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
