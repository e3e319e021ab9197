"""Old days of forecasts go. First Hive shows a day no more; a day later, when no query reads it any longer, its folder
goes. In between a marker says so and since when. Of candles nothing ever goes.

A run that is cut short anywhere leaves a state that the next one goes on from.
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
# A day that somebody writes is left to the next run.
NO_WAIT = timedelta(0)


def old_days(lake: Lake, settings: Settings, now: datetime) -> list[str]:
    """KST days of the lake whose forecasts are older than they are kept at `now` (UTC), oldest first.

    It counts from the newest day that there is, so that neither a clock that is ahead nor a long rest takes all.
    """
    return _older(ledger.days(lake, KIND), settings, now)


def expire(
    lake: Lake, hive: Hive, settings: Settings, now: datetime, clock: Clock, troubles: MutableMapping[str, str]
) -> list[str]:
    """Hide old days at `now` (UTC) and remove those hidden for the grace of old snapshots; returns the folders gone.

    `clock` is the leases'. A day of which something goes wrong gets into `troubles`, and the others go.

    Raises:
        LakeError, WarehouseError: HDFS or Hive do not answer; a rerun goes on.
    """
    found = {entry.day: since for entry, since in pending.noted(lake).items() if entry.task == "expire"}
    there, removed = ledger.days(lake, KIND), list[str]()
    before = now - timedelta(hours=settings.keep_generations_hours)
    with hive.session() as session:
        known = sorted({*there, *tables.days(session, settings, KIND), *found})
        old = _older(known, settings, now)
        for day in known:
            with isolated(lake, f"{KIND} {day}", troubles):
                if day not in old:
                    if day in found:  # it is to be kept after all; housekeeping shows it again
                        pending.remove(lake, _marker(day))
                elif day not in found or tables.is_visible(session, settings, KIND, day):
                    _hide(lake, session, settings, day)
                elif found[day] < before and _removed(lake, session, settings, day, clock):
                    removed.append(layout.day_folder(lake.root, KIND, day))
    return removed


def _older(days: list[str], settings: Settings, now: datetime) -> list[str]:
    if not days or not settings.keep_forecast_days:
        return []
    newest = day_start(min(max(days), kst_day(now)))
    first = kst_day(newest - timedelta(days=settings.keep_forecast_days))
    return [day for day in days if day < first]


def _hide(lake: Lake, session: Statements, settings: Settings, day: str) -> None:
    """The marker's age says since when nobody is shown the day, so it is made last."""
    _strike_out(lake, day, also_expiring=True)
    tables.hide_day(session, settings, KIND, day)
    pending.add(lake, _marker(day))
    log.info("forecasts of %s are old: Hive shows them no more", day)


def _removed(lake: Lake, session: Statements, settings: Settings, day: str, clock: Clock) -> bool:
    """Remove a hidden day under its lease; False when somebody writes it, or has just made Hive show it again."""
    folder = layout.day_folder(lake.root, KIND, day)
    try:
        with lease(lake, folder, clock, wait=NO_WAIT) as held:
            if tables.is_visible(session, settings, KIND, day):
                return False
            _strike_out(lake, day, also_expiring=False)
            held.check()
            lake.delete(folder)
    except LeaseHeld as busy:
        log.info("forecasts of %s stay for now: %s", day, busy)
        return False
    pending.remove(lake, _marker(day))
    log.info("removed %s", folder)
    return True


def _strike_out(lake: Lake, day: str, *, also_expiring: bool) -> None:
    """Nothing waits for a day that goes."""
    for entry in pending.listing(lake):
        if (entry.kind, entry.day) == (KIND, day) and (also_expiring or entry.task != "expire"):
            pending.remove(lake, entry)


def _marker(day: str) -> Pending:
    return Pending("expire", KIND, day)
