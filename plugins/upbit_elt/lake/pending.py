"""What is still to be done about the days of a lake: empty files in one folder, so that one listing finds it all.

    register.<kind>.<yyMMdd>.<snapshot>             that snapshot is there, or about to be; Hive may not show it yet
    close.<kind>.<yyMMdd>                           the day is open
    reconcile.candle.<yyMMdd>.<snapshot>            that closed snapshot is not proven yet
    expire.forecast.<yyMMdd>                        the day is old: Hive shows it no more, its folder will go

An index, not the ledger: all of it follows from the lake's folders and files. What is lost here costs time, until
housekeeping has looked at every day again, and nothing else.
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
    """A task that waits for a KST day `yyMMdd` of a kind, and for which snapshot (a leaf folder's name; "": any)."""

    task: Task
    kind: Kind
    day: str
    snapshot: str = ""

    @property
    def name(self) -> str:
        """Name of its file."""
        return ".".join(part for part in self if part)


def registering(kind: Kind, snapshot: str) -> Pending:
    """That Hive has to show a snapshot, given by its path."""
    _, day, leaf = snapshot.rsplit("/", 2)
    return Pending("register", kind, day, leaf)


def listing(lake: Lake) -> list[Pending]:
    """All that waits, sorted. Names that this program does not know are left out."""
    return sorted(noted(lake))


def noted(lake: Lake) -> dict[Pending, datetime]:
    """As `listing`, with the moment (UTC, the NameNode's clock) at which each was noted."""
    entries = ((_NAME.match(entry.name), entry) for entry in lake.list(layout.pending_folder(lake.root)))
    return {_parsed(match): entry.modified for match, entry in entries if match}


def add(lake: Lake, entry: Pending) -> None:
    """Note a task; nothing happens when it is noted already."""
    try:
        lake.create(_path(lake, entry), b"")
    except LakeConflict:
        return


def remove(lake: Lake, entry: Pending) -> None:
    """Strike a task out; nothing happens when it is not there."""
    lake.delete(_path(lake, entry))


def follow_up(lake: Lake, entry: Pending, following: Pending) -> None:
    """Put a task in the place of one that is done, in one step."""
    try:
        lake.rename(_path(lake, entry), _path(lake, following))
    except LakeConflict:  # it is noted already
        remove(lake, entry)
    except LakeCorrupt:  # another has done so
        return


def _path(lake: Lake, entry: Pending) -> str:
    return f"{layout.pending_folder(lake.root)}/{entry.name}"


def _parsed(match: re.Match[str]) -> Pending:
    task, kind, day, snapshot = match.groups()
    return Pending(cast("Task", task), cast("Kind", kind), day, snapshot or "")
