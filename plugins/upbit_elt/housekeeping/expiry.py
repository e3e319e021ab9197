"""Remove old days of forecasts and of scores, in two steps. Candles are never removed.

First a day is taken out of Hive, and a pending marker says so and since when. A day later, when no query reads it any
more, its folder is deleted. When a run ends anywhere in between, the next one goes on.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from datetime import datetime, timedelta
from typing import get_args

from upbit_elt.candle import day_start, kst_day
from upbit_elt.clock import Clock
from upbit_elt.errors import LeaseHeld
from upbit_elt.lake import layout, ledger, pending
from upbit_elt.lake.isolation import isolated
from upbit_elt.lake.layout import Expiring
from upbit_elt.lake.lease import lease
from upbit_elt.lake.pending import Pending
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse import tables
from upbit_elt.warehouse.hive import Hive, Statements
from upbit_elt.warehouse.register import DailyTable

log = logging.getLogger(__name__)
# Scores of a year, and a month in which the day a year before can still be looked up; 0.6 MB a day.
SCORE_DAYS = 400
# A day whose lease another writer holds is left to the next run.
NO_WAIT = timedelta(0)


def old_days(lake: Lake, settings: Settings, now: datetime) -> list[DailyTable]:
    """The KST days of forecasts older than `keep_forecast_days` at `now` (UTC), and of scores than SCORE_DAYS.

    The age counts from the newest day of the kind in the lake, so that neither a clock that is ahead nor a long pause
    of the deployment makes all days old.
    """
    kinds: tuple[Expiring, ...] = get_args(Expiring)
    return [DailyTable(kind, day) for kind in kinds for day in _older(kind, ledger.days(lake, kind), settings, now)]


def expire(
    lake: Lake, hive: Hive, settings: Settings, now: datetime, clock: Clock, troubles: MutableMapping[str, str]
) -> list[str]:
    """Hide the days that are old at `now` (UTC), and remove those hidden for longer than the grace of old snapshots.

    Returns the removed folders. `clock` is used for the leases. When a day fails, its error goes into `troubles`, and
    the other days go on.

    Raises:
        LakeError, WarehouseError: HDFS or Hive do not answer; run it again.
    """
    noted = {
        DailyTable(entry.kind, entry.day): at for entry, at in pending.noted(lake).items() if entry.task == "expire"
    }
    kinds: tuple[Expiring, ...] = get_args(Expiring)
    before = now - timedelta(hours=settings.keep_generations_hours)
    removed = list[str]()
    with hive.session() as session:
        for kind in kinds:
            found = {day for noted_kind, day in noted if noted_kind == kind}
            known = sorted({*ledger.days(lake, kind), *tables.days(session, settings, kind), *found})
            old = _older(kind, known, settings, now)
            for day in known:
                since = noted.get(DailyTable(kind, day))
                with isolated(lake, f"{kind} {day}", troubles):
                    if day not in old:
                        if since:  # it is to stay after all; housekeeping registers it again
                            pending.remove(lake, _marker(kind, day))
                    elif since is None or tables.is_visible(session, settings, kind, day):
                        _hide(lake, session, settings, kind, day)
                    elif since < before and _removed(lake, session, settings, kind, day, clock):
                        removed.append(layout.day_folder(lake.root, kind, day))
    return removed


def _older(kind: Expiring, days: list[str], settings: Settings, now: datetime) -> list[str]:
    most_days = settings.keep_forecast_days if kind == "forecast" else SCORE_DAYS
    if not days or not most_days:
        return []
    last_day = day_start(min(max(days), kst_day(now)))
    first = kst_day(last_day - timedelta(days=most_days))
    return [day for day in days if day < first]


def _hide(lake: Lake, session: Statements, settings: Settings, kind: Expiring, day: str) -> None:
    """Take a day out of Hive. The marker's age says since when it is hidden, so the marker is added last."""
    _remove_markers(lake, kind, day, also_expiring=True)
    tables.hide_day(session, settings, kind, day)
    pending.add(lake, _marker(kind, day))
    log.info("%s of %s is old: it is no longer in Hive", kind, day)


def _removed(lake: Lake, session: Statements, settings: Settings, kind: Expiring, day: str, clock: Clock) -> bool:
    """Remove a hidden day under its lease; False when another process writes it, or has just registered it again."""
    folder = layout.day_folder(lake.root, kind, day)
    try:
        with lease(lake, folder, clock, wait=NO_WAIT) as held:
            if tables.is_visible(session, settings, kind, day):
                return False
            _remove_markers(lake, kind, day, also_expiring=False)
            held.check()
            lake.delete(folder)
    except LeaseHeld as busy:
        log.info("%s of %s stays until the next run: %s", kind, day, busy)
        return False
    pending.remove(lake, _marker(kind, day))
    log.info("removed %s", folder)
    return True


def _remove_markers(lake: Lake, kind: Expiring, day: str, *, also_expiring: bool) -> None:
    """Remove the pending markers of a day that is being removed."""
    for entry in pending.listing(lake):
        if (entry.kind, entry.day) == (kind, day) and (also_expiring or entry.task != "expire"):
            pending.remove(lake, entry)


def _marker(kind: Expiring, day: str) -> Pending:
    return Pending("expire", kind, day)
