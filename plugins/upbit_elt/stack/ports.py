"""Which ports are taken, who has them, and what to do about it: the standard library alone, with the system's /proc."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from upbit_elt.stack.names import GREATEST_OFFSET, HOST, MARKER, PORTS, variable

PROC = Path("/proc")
_LISTENS = "0A"  # of the states in /proc/net/tcp
_STEP = 100  # no two of our ports are so far apart, so that a stack never gets a port of the one that it avoids


class Holder(NamedTuple):
    """Who listens on a port. `stack` is the data folder when it is a stack of ours; without `pid` nobody may know."""

    pid: int | None = None
    name: str = ""
    stack: str | None = None

    def __str__(self) -> str:
        if self.stack:
            return f"the stack in {self.stack}"
        if self.name == "docker-proxy":
            return "a container (docker ps names it)"
        return f"{self.name} (pid {self.pid})" if self.pid else "another process"


class Taken(NamedTuple):
    """A port that something else has; `setting` is its name in `PORTS`."""

    setting: str
    port: int
    holder: Holder


def taken(ports: Mapping[str, int], own: Path) -> list[Taken]:
    """Those of these ports (by setting) that somebody has, but for the stack in the data folder `own`."""
    busy = {name: port for name, port in ports.items() if not free(port)}
    holders = _holders(set(busy.values())) if busy else {}
    found = [Taken(name, port, holders.get(port, Holder())) for name, port in busy.items()]
    return [one for one in found if one.holder.stack != str(own)]


def free(port: int) -> bool:
    """Whether nobody listens on a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def advice(found: list[Taken], movable: bool) -> str:
    """All taken ports in one message: who has which, how to end that, and the settings that move ours.

    `movable` says whether all may move: not once tables are stored under the NameNode's port.
    """
    by_holder: dict[str, list[str]] = {}
    for one in found:
        by_holder.setdefault(str(one.holder), []).append(f"{one.port} ({variable(one.setting)})")
    lines = [f"{len(found)} port{'s are' if len(found) > 1 else ' is'} taken:"]
    lines += [f"  {', '.join(ports)} by {holder}" for holder, ports in by_holder.items()]
    folders = dict.fromkeys(one.holder.stack for one in found if one.holder.stack)
    ends = ", ".join(f"UPBIT_RUN_DATA_DIR={folder} ./run stop" for folder in folders)
    offset = _free_offset() if movable else None
    moves = f"export {variable('port_offset')}={offset} moves all ports of this stack, " if offset else ""
    lines.append(
        f"Do: end what has {'them' if len(found) > 1 else 'it'}{f' ({ends})' if ends else ''}, or move: {moves}"
        "a setting in brackets one port; ./run status, stop, ... need the same"
    )
    return "\n".join(lines)


def _free_offset() -> int | None:
    """The least round offset with which every port is free."""
    offsets = range(_STEP, GREATEST_OFFSET + 1, _STEP)
    return next((offset for offset in offsets if all(free(port + offset) for port in PORTS.values())), None)


def _holders(wanted: set[int]) -> dict[int, Holder]:
    """Who listens on these ports, as far as the system names them."""
    sockets = dict(_listening(wanted))
    found: dict[int, Holder] = {}
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            for file in (folder / "fd").iterdir():
                port = sockets.get(os.readlink(file))
                if port and port not in found:
                    found[port] = _holder(folder)
    return found


def _listening(wanted: set[int]) -> Iterator[tuple[str, int]]:
    """Sockets that listen on these ports, as a process's open files name them."""
    for table in ("tcp", "tcp6"):
        with suppress(OSError):  # a system without IPv6
            for line in (PROC / "net" / table).read_text().splitlines()[1:]:
                _, local, _, state, *rest = line.split()
                port = int(local.rpartition(":")[2], 16)
                if state == _LISTENS and port in wanted:
                    yield f"socket:[{rest[5]}]", port


def _holder(folder: Path) -> Holder:
    """A process of /proc; its environment is read only where we may."""
    marker = None
    with suppress(OSError):
        marker = re.search(rb"(?:^|\0)" + MARKER.encode() + rb"=([^\0]*)", (folder / "environ").read_bytes())
    return Holder(int(folder.name), (folder / "comm").read_text().strip(), os.fsdecode(marker[1]) if marker else None)
