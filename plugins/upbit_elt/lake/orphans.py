"""Finds what can be removed from the lake: expired snapshots, orphans, old quarantine. The caller removes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import get_args

from upbit_elt.lake import layout, ledger
from upbit_elt.lake.layout import Kind
from upbit_elt.lake.ledger import Snapshot
from upbit_elt.lake.webhdfs import Entry, Lake


def expired(lake: Lake, kind: Kind, day: str, registered: Iterable[str]) -> list[Snapshot]:
    """The snapshots of a KST day that are older than every folder of `registered` (at which its tables point now).

    There is none when `registered` is empty or names a folder that is no snapshot of the day: then it is unknown what
    queries read.
    """
    found = ledger.snapshots(lake, kind, day)
    places = {snapshot.path: place for place, snapshot in enumerate(found)}
    wanted = set(registered)
    if not wanted or not wanted <= places.keys():
        return []
    return found[: min(places[path] for path in wanted)]


def abandoned(lake: Lake, before: datetime) -> list[str]:
    """Orphans: paths that writers who died before `before` (UTC) did not remove.

    These are staged files, unfinished snapshots, renamed leases, and pending markers of earlier releases. A lease in
    force (`_lease`) and staged history (`_backfill/yyMMdd/*.parquet`) are never among them.
    """
    return [
        f"{folder}/{entry.name}"
        for folder in _working_folders(lake)
        for entry in lake.list(folder)
        if (layout.HIDDEN.match(entry.name) or entry.name.startswith(layout.UNREGISTERED)) and entry.modified < before
    ]


def old_quarantine(lake: Lake, before: datetime) -> list[str]:
    """The quarantine folders to which nothing was added since `before` (UTC)."""
    root = layout.quarantine_root(lake.root)
    days = (entry for entry in _folders(lake, root) if layout.DAY.match(entry.name))
    return [f"{root}/{entry.name}" for entry in days if entry.modified < before]


def cancelled(lake: Lake, before: datetime) -> list[str]:
    """The `.cancelled` files of backfill requests cancelled before `before` (UTC): no run saves these any more."""
    folder = layout.requests_folder(lake.root)
    entries = {entry.name: entry for entry in lake.list(folder)}
    markers = (entry for name, entry in entries.items() if name.endswith(".cancelled") and entry.modified < before)
    return [
        f"{folder}/{marker.name}" for marker in markers if marker.name.replace(".cancelled", ".json") not in entries
    ]


def _working_folders(lake: Lake) -> Iterator[str]:
    """Yield every folder in which files are written."""
    for kind in get_args(Kind):
        yield layout.kind_folder(lake.root, kind)
        for day in ledger.days(lake, kind):
            yield layout.day_folder(lake.root, kind, day)
            yield from (snapshot.path for snapshot in ledger.snapshots(lake, kind, day))
    for root in (layout.backfill_root(lake.root), layout.model_root(lake.root), layout.quarantine_root(lake.root)):
        yield root
        yield from (f"{root}/{entry.name}" for entry in _folders(lake, root) if not layout.HIDDEN.match(entry.name))


def _folders(lake: Lake, path: str) -> Iterator[Entry]:
    return (entry for entry in lake.list(path) if entry.is_dir)
