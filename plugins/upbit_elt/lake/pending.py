"""Pending markers: empty files in one folder that say what is still to do for the days of a lake.

    register.<kind>.<yyMMdd>.<snapshot>             the snapshot exists, or soon will; Hive may not point at it yet
    close.<kind>.<yyMMdd>                           the day is open
    reconcile.candle.<yyMMdd>.<snapshot>            this snapshot of a closed day is not proven yet
    expire.<kind>.<yyMMdd>                          the day is old: it is out of Hive, and its folder will be removed

One listing finds all of it. The markers are an index, and follow from the lake's folders and files: when one is lost,
its task waits until housekeeping checks every day again.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal, NamedTuple, cast, get_args

from upbit_elt.errors import LakeConflict, LakeCorrupt
from upbit_elt.lake import layout
from upbit_elt.lake.layout import Kind
from upbit_elt.lake.webhdfs import Lake

Task = Literal["register", "close", "reconcile", "expire"]
_NAME = re.compile(
    rf"^({'|'.join(get_args(Task))})\.({'|'.join(get_args(Kind))})\.(\d{{6}})"
    r"(?:\.((?:live|day)-\d+))?$"
)


class Pending(NamedTuple):
    """A task that waits, its kind and KST day `yyMMdd`, and the snapshot it is for (a leaf folder's name; "": any)."""

    task: Task
    kind: Kind
    day: str
    snapshot: str = ""

    @property
    def name(self) -> str:
        """The name of the marker's file."""
        return ".".join(part for part in self if part)


def registering(kind: Kind, snapshot: str) -> Pending:
    """The marker that a snapshot, given by its path, has to be registered in Hive."""
    _, day, leaf = snapshot.rsplit("/", 2)
    return Pending("register", kind, day, leaf)


def listing(lake: Lake) -> list[Pending]:
    """All pending markers, sorted; names that this release does not know are left out."""
    return sorted(noted(lake))


def noted(lake: Lake) -> dict[Pending, datetime]:
    """As `listing`, with the moment (UTC, the NameNode's clock) at which each marker was added."""
    entries = ((_NAME.match(entry.name), entry) for entry in lake.list(layout.pending_folder(lake.root)))
    return {_parsed(match): entry.modified for match, entry in entries if match}


def add(lake: Lake, entry: Pending) -> None:
    """Add a marker; nothing happens when it is there already."""
    try:
        lake.create(_path(lake, entry), b"")
    except LakeConflict:
        return


def remove(lake: Lake, entry: Pending) -> None:
    """Remove a marker; nothing happens when it is not there."""
    lake.delete(_path(lake, entry))


def follow_up(lake: Lake, entry: Pending, following: Pending) -> None:
    """Replace the marker of a task that is done by that of the following task, in one step."""
    try:
        lake.rename(_path(lake, entry), _path(lake, following))
    except LakeConflict:  # the following marker is there already
        remove(lake, entry)
    except LakeCorrupt:  # another process has replaced it
        return


def _path(lake: Lake, entry: Pending) -> str:
    return f"{layout.pending_folder(lake.root)}/{entry.name}"


def _parsed(match: re.Match[str]) -> Pending:
    task, kind, day, snapshot = match.groups()
    return Pending(cast("Task", task), cast("Kind", kind), day, snapshot or "")
