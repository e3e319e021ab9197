"""What nobody needs any more in the lake: found here, removed by the caller. No reader sees any of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import get_args

from upbit_elt.lake import layout, ledger
from upbit_elt.lake.layout import Kind
from upbit_elt.lake.ledger import Snapshot
from upbit_elt.lake.webhdfs import Entry, Lake


def expired(lake: Lake, kind: Kind, day: str, registered: Iterable[str]) -> list[Snapshot]:
    """Snapshots of a KST day that are older than each folder of `shown` (what tables point at now).

    None when `shown` is empty or names a folder that is no snapshot of the day: then it is not known what is read.
    """
    found = ledger.snapshots(lake, kind, day)
    places = {snapshot.path: place for place, snapshot in enumerate(found)}
    wanted = set(registered)
    if not wanted or not wanted <= places.keys():
        return []
    return found[: min(places[path] for path in wanted)]


def abandoned(lake: Lake, before: datetime) -> list[str]:
    """Paths that writers who died before `before` (UTC) left behind: staged files, half-made snapshots, leases
    moved aside, marks of earlier releases. A lease in force (`_lease`) and waiting history
    (`_backfill/yyMMdd/*.parquet`) are never among them.
    """
    return [
        f"{folder}/{entry.name}"
        for folder in _working_folders(lake)
        for entry in lake.list(folder)
        if (layout.HIDDEN.match(entry.name) or entry.name.startswith(layout.UNREGISTERED)) and entry.modified < before
    ]


def old_quarantine(lake: Lake, before: datetime) -> list[str]:
    """Folders of rejected rows to which nothing was added since `before` (UTC)."""
    root = layout.quarantine_root(lake.root)
    days = (entry for entry in _folders(lake, root) if layout.DAY.match(entry.name))
    return [f"{root}/{entry.name}" for entry in days if entry.modified < before]


def cancelled(lake: Lake, before: datetime) -> list[str]:
    """Marks of backfill requests that were cancelled before `before` (UTC): nobody works on them any more."""
    folder = layout.requests_folder(lake.root)
    entries = {entry.name: entry for entry in lake.list(folder)}
    markers = (entry for name, entry in entries.items() if name.endswith(".cancelled") and entry.modified < before)
    return [
        f"{folder}/{marker.name}" for marker in markers if marker.name.replace(".cancelled", ".json") not in entries
    ]


def _working_folders(lake: Lake) -> Iterator[str]:
    """Every folder in which files are written."""
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
