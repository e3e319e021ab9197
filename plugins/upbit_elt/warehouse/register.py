"""Register snapshots: make the tables of each day in Hive point at the day's current snapshot in the lake.

Pending markers say which days wait for it, also after a writer that died. A run registers those, and checks the days
in which it published.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, get_args

from upbit_elt.errors import LakeCorrupt, QueryFailed
from upbit_elt.lake import ledger, pending
from upbit_elt.lake.layout import Kind
from upbit_elt.lake.ledger import Snapshot
from upbit_elt.lake.pending import Pending
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive, Statements
from upbit_elt.warehouse.tables import ensure_day, ensure_view, is_registered

log = logging.getLogger(__name__)

# Days that share a session when all are registered.
BATCH = 100


class DailyTable(NamedTuple):
    """The daily table of a kind and a KST day `yyMMdd`, as `candle_261124`."""

    kind: Kind
    day: str


def register(
    lake: Lake, hive: Hive, settings: Settings, touched: Mapping[DailyTable, str | None] | None = None
) -> list[DailyTable]:
    """Register every snapshot with a pending marker, and check the days `touched`; returns the days that changed.

    `touched` gives, for each day, the folder in which files were published, or None when it is unknown. When a day
    fails, the others are registered all the same.

    Raises:
        WarehouseError, LakeError: not all days were registered; run it again.
    """
    folders = touched or {}
    waiting: dict[DailyTable, list[Pending]] = defaultdict(list)
    for entry in pending.listing(lake):
        if entry.task == "register":
            waiting[DailyTable(entry.kind, entry.day)].append(entry)
    return _register_days(lake, hive, settings, sorted({*waiting, *folders}), waiting, folders)


def register_now(lake: Lake, hive: Hive, settings: Settings, day: DailyTable) -> bool:
    """Register the current snapshot of one day; True when that changed anything. Raises as `register`."""
    waiting = [entry for entry in pending.listing(lake) if (entry.task, *day) == ("register", entry.kind, entry.day)]
    with hive.session() as session:
        return register_day(lake, session, settings, *day, waiting)


def register_all(lake: Lake, hive: Hive, settings: Settings) -> list[DailyTable]:
    """As `register`, and then for every day of the lake, also days without a marker; returns the days that changed.

    Views are made anew, as those of an earlier release may lack columns. Each day costs a listing and six statements.
    Days that expire are left out.
    """
    expiring = {DailyTable(entry.kind, entry.day) for entry in pending.listing(lake) if entry.task == "expire"}
    stored = [DailyTable(kind, day) for kind in get_args(Kind) for day in ledger.days(lake, kind)]
    everything = [day for day in stored if day not in expiring]
    changed = register(lake, hive, settings)
    with hive.session() as session:
        for kind in sorted({day.kind for day in everything}):
            ensure_view(session, settings, kind)
    for first in range(0, len(everything), BATCH):
        changed += _register_days(lake, hive, settings, everything[first : first + BATCH], {}, {})
    return changed


def register_day(
    lake: Lake,
    hive: Statements,
    settings: Settings,
    kind: Kind,
    day: str,
    waiting: Sequence[Pending] = (),
    folder: str | None = None,
) -> bool:
    """Point the daily table and the partition of a KST day at its current snapshot; True when that changed anything.

    `waiting` are the day's pending markers, `folder` is its current snapshot as far as the caller knows. After a change
    the lake is listed again, and a newer snapshot is registered too: so two processes that register the same day at the
    same time never leave Hive at the older snapshot.

    Raises:
        WarehouseError, LakeError: run it again.
    """
    if folder and not waiting and is_registered(hive, settings, kind, day, folder):
        return False
    registered, changed = "", False
    found, old_markers = ledger.list_day(lake, kind, day)
    while found and found[-1].path != registered:
        registered = found[-1].path
        if not is_registered(hive, settings, kind, day, registered):
            ensure_day(hive, settings, kind, day, registered)
            changed = True
            found, old_markers = ledger.list_day(lake, kind, day)
    _remove_markers(lake, found, waiting, old_markers)
    return changed


def _register_days(
    lake: Lake,
    hive: Hive,
    settings: Settings,
    days: Sequence[DailyTable],
    waiting: Mapping[DailyTable, Sequence[Pending]],
    folders: Mapping[DailyTable, str | None],
) -> list[DailyTable]:
    if not days:
        return []
    changed: list[DailyTable] = []
    failed: list[Exception] = []
    with hive.session() as session:
        for day in days:
            try:
                if register_day(lake, session, settings, *day, waiting.get(day, ()), folders.get(day)):
                    changed.append(day)
            except (QueryFailed, LakeCorrupt) as error:
                log.warning("%s of %s is not registered in Hive: %s", *day, error)
                failed.append(error)
    if failed:
        raise failed[0]
    return changed


def _remove_markers(
    lake: Lake, found: Sequence[Snapshot], waiting: Iterable[Pending], old_markers: Iterable[str]
) -> None:
    """Remove the markers of the snapshots `found`, the last of which is registered now.

    Markers of other snapshots belong to a writer at work. A closed day of candles gets the marker to be reconciled.
    """
    leaves = [snapshot.path.rsplit("/", 1)[1] for snapshot in found]
    for entry in waiting:
        if entry.kind == "candle" and found[-1:] and found[-1].complete and entry.snapshot == leaves[-1]:
            pending.follow_up(lake, entry, entry._replace(task="reconcile"))
        elif entry.snapshot in leaves:
            pending.remove(lake, entry)
    for marker in old_markers:
        if marker.endswith(tuple(f"-{leaf}" for leaf in leaves)):
            lake.delete(marker)
