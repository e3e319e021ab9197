"""Clean the lake and check all its days: expired snapshots, orphans, old quarantine, and days missing in Hive."""

from __future__ import annotations

import logging
from collections.abc import Iterator, MutableMapping
from datetime import datetime, timedelta
from typing import get_args

from upbit_elt.clock import Clock, SystemClock
from upbit_elt.housekeeping import expiry
from upbit_elt.lake import layout, ledger, orphans
from upbit_elt.lake.isolation import isolated
from upbit_elt.lake.layout import Kind
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality.backlog import derive
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive
from upbit_elt.warehouse.register import register_all
from upbit_elt.warehouse.tables import pointers

log = logging.getLogger(__name__)


def would_go(settings: Settings, now: datetime, troubles: MutableMapping[str, str]) -> list[str]:
    """The paths in HDFS that `clean_lake` would remove at `now` (UTC), including old days that it would hide first.

    Days that cannot be checked go into `troubles`, with the error's words.

    Raises:
        LakeError, WarehouseError: HDFS or Hive do not answer.
    """
    lake, hive = Lake.from_settings(settings), Hive.from_settings(settings)
    old = (layout.day_folder(lake.root, *one) for one in expiry.old_days(lake, settings, now))
    return [*unneeded_in(lake, hive, settings, now, troubles), *old]


def unneeded_in(
    lake: Lake, hive: Hive, settings: Settings, now: datetime, troubles: MutableMapping[str, str]
) -> list[str]:
    """The paths of a lake that can be removed at `now` (UTC) by the settings `keep_*`.

    Old days, which have to be hidden first, are not among them. Days that cannot be checked go into `troubles`, with
    the error's words, and nothing of them is listed.

    Raises:
        LakeError, WarehouseError: HDFS or Hive do not answer.
    """
    grace = timedelta(hours=settings.keep_generations_hours)
    return [
        *_expired_snapshots(lake, hive, settings, now - grace, troubles),
        *orphans.abandoned(lake, now - timedelta(hours=settings.keep_leftovers_hours)),
        *orphans.cancelled(lake, now - timedelta(hours=settings.keep_leftovers_hours)),
        *orphans.old_quarantine(lake, now - timedelta(days=settings.keep_rejected_days)),
    ]


def check_days(settings: Settings, now: datetime) -> list[str]:
    """Check every day of the lake: whether it is registered in Hive, and whether it has its pending markers.

    Days open or not proven at `now` (UTC) need a marker. The other runs look only at what changed, so this finds what
    they miss. Returns the markers and registrations that it added.

    Raises:
        LakeError, WarehouseError: not all days were checked; run it again.
    """
    return check_days_in(Lake.from_settings(settings), Hive.from_settings(settings), settings, now)


def check_days_in(lake: Lake, hive: Hive, settings: Settings, now: datetime) -> list[str]:
    """As `check_days`, for this lake and this Hive."""
    noted = [entry.name for entry in derive(lake, now)]
    registered = [f"{kind} {day}" for kind, day in register_all(lake, hive, settings)]
    for name in (*noted, *registered):
        log.warning("missed by the other runs, now corrected: %s", name)
    return [*noted, *registered]


def clean_lake(settings: Settings, now: datetime, troubles: MutableMapping[str, str]) -> list[str]:
    """Remove what is unneeded at `now` (UTC); returns the removed paths. `troubles` gets what failed, with the reason.

    Raises:
        LakeError, WarehouseError: HDFS or Hive do not answer; run it again.
    """
    lake, hive = Lake.from_settings(settings), Hive.from_settings(settings)
    return clean_lake_in(lake, hive, settings, now, SystemClock(), troubles)


def clean_lake_in(
    lake: Lake, hive: Hive, settings: Settings, now: datetime, clock: Clock, troubles: MutableMapping[str, str]
) -> list[str]:
    """As `clean_lake`, for this lake and this Hive; `clock` is used for the leases."""
    removed = expiry.expire(lake, hive, settings, now, clock, troubles)
    for path in unneeded_in(lake, hive, settings, now, troubles):
        with isolated(lake, path, troubles):
            lake.delete(path)
            log.info("removed %s", path)
            removed.append(path)
    return removed


def _expired_snapshots(
    lake: Lake, hive: Hive, settings: Settings, before: datetime, troubles: MutableMapping[str, str]
) -> Iterator[str]:
    """Yield the snapshots whose successor has been registered in Hive since before `before` (UTC)."""
    # Most days have one snapshot; these need no query in Hive.
    several = [(k, day) for k in get_args(Kind) for day in ledger.days(lake, k) if _has_several(lake, k, day)]
    with hive.session() as session:
        for kind, day in several:
            with isolated(lake, f"{kind} {day}", troubles):
                registered = pointers(session, settings, kind, day)
                if all(pointer.since < before for pointer in registered):
                    found = orphans.expired(lake, kind, day, [pointer.location for pointer in registered])
                    yield from (snapshot.path for snapshot in found)


def _has_several(lake: Lake, kind: Kind, day: str) -> bool:
    return len(ledger.snapshots(lake, kind, day)) > 1
