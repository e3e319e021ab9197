"""Remove old days of forecasts, in two steps. Candles are never removed.

First a day is taken out of Hive, and a pending marker says so and since when. A day later, when no query reads it any
more, its folder is deleted. When a run ends anywhere in between, the next one goes on.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from datetime import datetime, timedelta
from typing import Final

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

log = logging.getLogger(__name__)
KIND: Final[Expiring] = "forecast"
# A day whose lease another writer holds is left to the next run.
NO_WAIT = timedelta(0)


def old_days(lake: Lake, settings: Settings, now: datetime) -> list[str]:
    """The KST days whose forecasts are older than `keep_forecast_days` at `now` (UTC), oldest first.

    The age counts from the newest day in the lake, so that neither a clock that is ahead nor a long pause of the
    deployment makes all days old.
    """
    return _older(ledger.days(lake, KIND), settings, now)


def expire(
    lake: Lake, hive: Hive, settings: Settings, now: datetime, clock: Clock, troubles: MutableMapping[str, str]
) -> list[str]:
    """Hide the days that are old at `now` (UTC), and remove those hidden for longer than the grace of old snapshots.

    Returns the removed folders. `clock` is used for the leases. When a day fails, its error goes into `troubles`, and
    the other days go on.

    Raises:
        LakeError, WarehouseError: HDFS or Hive do not answer; run it again.
    """
    found = {entry.day: since for entry, since in pending.noted(lake).items() if entry.task == "expire"}
    stored, removed = ledger.days(lake, KIND), list[str]()
    before = now - timedelta(hours=settings.keep_generations_hours)
    with hive.session() as session:
        known = sorted({*stored, *tables.days(session, settings, KIND), *found})
        old = _older(known, settings, now)
        for day in known:
            with isolated(lake, f"{KIND} {day}", troubles):
                if day not in old:
                    if day in found:  # it is to stay after all; housekeeping registers it again
                        pending.remove(lake, _marker(day))
                elif day not in found or tables.is_visible(session, settings, KIND, day):
                    _hide(lake, session, settings, day)
                elif found[day] < before and _removed(lake, session, settings, day, clock):
                    removed.append(layout.day_folder(lake.root, KIND, day))
    return removed


def _older(days: list[str], settings: Settings, now: datetime) -> list[str]:
    if not days or not settings.keep_forecast_days:
        return []
    last_day = day_start(min(max(days), kst_day(now)))
    first = kst_day(last_day - timedelta(days=settings.keep_forecast_days))
    return [day for day in days if day < first]


def _hide(lake: Lake, session: Statements, settings: Settings, day: str) -> None:
    """Take a day out of Hive. The marker's age says since when it is hidden, so the marker is added last."""
    _remove_markers(lake, day, also_expiring=True)
    tables.hide_day(session, settings, KIND, day)
    pending.add(lake, _marker(day))
    log.info("forecasts of %s are old: they are no longer in Hive", day)


def _removed(lake: Lake, session: Statements, settings: Settings, day: str, clock: Clock) -> bool:
    """Remove a hidden day under its lease; False when another process writes it, or has just registered it again."""
    folder = layout.day_folder(lake.root, KIND, day)
    try:
        with lease(lake, folder, clock, wait=NO_WAIT) as held:
            if tables.is_visible(session, settings, KIND, day):
                return False
            _remove_markers(lake, day, also_expiring=False)
            held.check()
            lake.delete(folder)
    except LeaseHeld as busy:
        log.info("forecasts of %s stay until the next run: %s", day, busy)
        return False
    pending.remove(lake, _marker(day))
    log.info("removed %s", folder)
    return True


def _remove_markers(lake: Lake, day: str, *, also_expiring: bool) -> None:
    """Remove the pending markers of a day that is being removed."""
    for entry in pending.listing(lake):
        if (entry.kind, entry.day) == (KIND, day) and (also_expiring or entry.task != "expire"):
            pending.remove(lake, entry)


def _marker(day: str) -> Pending:
    return Pending("expire", KIND, day)
