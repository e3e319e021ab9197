"""How much memory this machine has for us: its own, or what a control group (container, systemd unit) leaves of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MACHINE = Path("/proc/meminfo")
GROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
# Files of a group in the two versions of Linux: its limit, what it uses, and the line of what the kernel gives back.
_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


class Memory(NamedTuple):
    """Bytes that there are at all, and those that are available now; `limit` is the group's file when one is set."""

    total: int
    available: int
    limit: Path | None = None


def memory(groups: Path = GROUPS, own: Path = OWN) -> Memory:
    """The smallest of the machine's memory and the limits of the control groups of this process."""
    found = [_machine(), *_limits(groups, own)]
    least = min(found, key=lambda one: one.total)
    return least._replace(available=min(one.available for one in found))


def _machine() -> Memory:
    lines = (line.partition(":") for line in MACHINE.read_text().splitlines())
    kibibytes = {name: int(value.split()[0]) for name, _, value in lines}
    return Memory(kibibytes["MemTotal"] * 1024, kibibytes["MemAvailable"] * 1024)


def _limits(groups: Path, own: Path) -> Iterator[Memory]:
    lines = own.read_text().splitlines() if own.exists() else []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            root = groups / controllers
            folder = root / path.lstrip("/")
            for one in (folder, *folder.parents):
                yield from _limit(one, _V1 if controllers else _V2)
                if one == root:
                    break


def _limit(folder: Path, names: tuple[str, str, str]) -> Iterator[Memory]:
    limit, usage, spare = names
    try:
        most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such group in this container's view, or `max`
        return
    yield Memory(most, max(0, most - used + int(stat.get(spare, 0))), folder / limit)
