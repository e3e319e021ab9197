"""What must be so before anything is started: a data folder of our own on a local disk, room, memory, free ports.

With the standard library alone: it is looked at before minutes of downloads too (`first.py`).
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from upbit_elt.errors import StackError
from upbit_elt.stack import ports
from upbit_elt.stack.memory import Memory, memory
from upbit_elt.stack.names import REPO, variable

MIN_FREE_GB, MIN_MEMORY_GB = 2.0, 4.0
_REMOTE = ("9p", "afs", "cifs", "drvfs", "fuse.sshfs", "fuse.vmhgfs-fuse", "nfs", "nfs4", "smb3", "smbfs", "vboxsf")


class Machine(Protocol):
    """What the checks need of a stack's settings."""

    @property
    def data_dir(self) -> Path:
        """Everything the stack writes."""

    @property
    def jars(self) -> Path:
        """Folder of the jars."""

    @property
    def min_free_gb(self) -> float:
        """Free disk space that is needed."""

    @property
    def min_memory_gb(self) -> float:
        """Memory that is needed."""

    @property
    def ports(self) -> Mapping[str, int]:
        """Every port by the name of its setting."""


def existing(folder: Path) -> Path:
    """The folder itself, or the one that is there already and will hold it."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def free_gb(folder: Path) -> float:
    """Free disk space (10^9 bytes) where a folder is, or will be."""
    return shutil.disk_usage(existing(folder)).free / 1e9


def check_disk(stack: Machine) -> None:
    """Raises StackError when the data folder's disk is nearly full."""
    if words := low_disk(stack):
        raise StackError(words)


def low_disk(stack: Machine) -> str | None:
    """What to do about a data folder whose disk is nearly full; None while there is room."""
    free = free_gb(stack.data_dir)
    if free >= stack.min_free_gb:
        return None
    return (
        f"only {free:.1f} GB are free for {stack.data_dir}, {stack.min_free_gb:g} GB are needed: make room, "
        "or choose another disk with UPBIT_RUN_DATA_DIR"
    )


def check_memory(stack: Machine, here: Memory | None = None) -> None:
    """Raises StackError when machine or control group have less memory than the services take."""
    here = here or memory()
    if here.total < stack.min_memory_gb * 1e9:
        whose = f"a limit ({here.limit}) leaves" if here.limit else "this machine has"
        raise StackError(
            f"{whose} {here.total / 1e9:.1f} GB of memory, {stack.min_memory_gb:g} GB are needed: give it more, "
            f"or set {variable('min_memory_gb')} to a smaller number and try"
        )


def check_owner(stack: Machine, uid: int | None = None) -> None:
    """Raises StackError when files of the data folder belong to another user, as after one `sudo ./run`.

    A data folder that may not be looked into counts as another's. `uid` is the user who starts; by default this
    process's.
    """
    uid = os.geteuid() if uid is None else uid
    try:
        found = sorted(stack.data_dir.iterdir())
    except FileNotFoundError:
        return
    except PermissionError:
        path, owner = _closed(stack.data_dir)
        raise StackError(_not_ours(stack, path, owner, uid)) from None
    for path in found:
        owner = path.stat(follow_symlinks=False).st_uid
        if path != stack.jars and owner != uid:
            raise StackError(_not_ours(stack, path, owner, uid))


def _closed(folder: Path) -> tuple[Path, int]:
    """The folder itself or the one above it that keeps us out, and its owner."""
    for path in (folder, *folder.parents):
        try:
            return path, path.stat().st_uid
        except PermissionError:
            continue
    raise AssertionError("everybody may look at /")


def _not_ours(stack: Machine, path: Path, owner: int, uid: int) -> str:
    advice = f"run it as {_name(owner)}, or choose another data folder with {variable('data_dir')}"
    if owner == uid:
        return f"{path} is yours, but its mode keeps you out: chmod u+rwx {path}"
    if owner == 0 and path.is_relative_to(stack.data_dir):  # a folder above it, like /root, is no one's to take
        advice = f"after one sudo ./run: sudo ./run stop; sudo chown -R {_name(uid)} {stack.data_dir} {REPO}"
    return f"{path} belongs to {_name(owner)}, and you are {_name(uid)}: {advice}"


def check_drive(stack: Machine, mounts: Mapping[Path, str] | None = None) -> None:
    """Raises StackError when the data folder is on a network or Windows drive, which has neither locks nor sockets.

    `mounts` are the kinds of file systems by the folder that each is mounted on; by default this machine's.
    """
    if mounts is None:
        lines = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
        mounts = {Path(folder): kind for _, folder, kind, *_ in lines}
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


def check_ports(stack: Machine, names: Iterable[str]) -> None:
    """Raises StackError naming every port of these settings that is taken by another than this stack itself."""
    if found := taken_ports(stack, names):
        raise StackError(found)


def taken_ports(stack: Machine, names: Iterable[str]) -> str | None:
    """What `check_ports` says; None when no port of these settings is taken by another."""
    found = ports.taken({name: stack.ports[name] for name in names}, stack.data_dir)
    return ports.advice(found, movable=not (stack.data_dir / "stack.json").exists()) if found else None
