"""Which days are open, and which closed days are not proven yet: from pending markers, or derived from the whole lake.

Every run reads the markers. Deriving them reads every day ever collected: housekeeping does so once a day, and a run
that finds no marker at all (in a lake of an earlier release).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

from upbit_elt.candle import MINUTE, day_end, day_start, days_between, kst_day
from upbit_elt.lake import ledger, pending
from upbit_elt.lake.isolation import isolated
from upbit_elt.lake.layout import Kind
from upbit_elt.lake.pending import Pending
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality import results
from upbit_elt.quality.rechecks import RECHECK_DAYS

log = logging.getLogger(__name__)

OPENED: tuple[Kind, ...] = ("candle", "forecast")


def current_day(live_end: datetime) -> str:
    """The KST day of the last minute that live runs cover, when their coverage ends at `live_end` (UTC)."""
    return kst_day(live_end - MINUTE)


def with_open_days(lake: Lake, waiting: Sequence[Pending], live_end: datetime, now: datetime) -> list[Pending]:
    """Return `waiting` (all pending markers) with markers added for the days that live runs have begun since then.

    The new markers say that a day is open, and are stored. `live_end` (UTC) is the end of the live coverage.
    """
    known = [entry.day for entry in waiting if entry.task == "close"]
    if known:
        first = day_end(max(known))
    else:
        log.info("no marker says which days are open: checking every day of the lake, once")
        waiting = [*waiting, *derive(lake, now)]
        first = day_start(current_day(live_end))
    added = [Pending("close", kind, day) for day in days_between(first, live_end) for kind in OPENED]
    _note(lake, added)
    return sorted({*waiting, *added})


def derive(lake: Lake, now: datetime) -> list[Pending]:
    """Add the missing markers of all days that are open or not proven at `now` (UTC); returns those added.

    Each day of the lake costs some listings.
    """
    waiting = set(pending.listing(lake))
    expiring = {(entry.kind, entry.day) for entry in waiting if entry.task == "expire"}
    derived = [entry for kind in OPENED for entry in _derived(lake, kind, now) if entry not in waiting]
    found = [entry for entry in derived if (entry.kind, entry.day) not in expiring]
    _note(lake, found)
    return found


def unproven(lake: Lake, now: datetime) -> dict[str, list[Pending]]:
    """The KST days whose closed snapshot of candles is not proven by the markers, with these markers."""
    waiting = pending.listing(lake)
    if not any(entry.task == "close" for entry in waiting):
        log.info("no marker says which days are open: checking every day of the lake, once")
        waiting = [*waiting, *derive(lake, now)]
    noted: dict[str, list[Pending]] = defaultdict(list)
    for entry in waiting:
        if entry.kind == "candle" and entry.snapshot.startswith("day-"):
            noted[entry.day].append(entry)
    return noted


def latest_snapshot(noted: Sequence[Pending]) -> str:
    """The name of the newest closed snapshot that a day's markers name."""
    return max((entry.snapshot for entry in noted), key=lambda name: int(name.removeprefix("day-")))


def settle(lake: Lake, noted: Sequence[Pending]) -> None:
    """Remove the markers of a day that is proven, or that is no longer reconciled."""
    for entry in noted:
        if entry.task == "reconcile":
            pending.remove(lake, entry)


def _note(lake: Lake, entries: Sequence[Pending]) -> None:
    """Add markers; a marker that cannot be added now is derived again by a later run."""
    for entry in entries:
        with isolated(lake, entry.name, {}):
            pending.add(lake, entry)


def _derived(lake: Lake, kind: Kind, now: datetime) -> Iterator[Pending]:
    for day in ledger.days(lake, kind):
        snapshot = ledger.current(lake, kind, day)
        if snapshot and not snapshot.complete:
            yield Pending("close", kind, day)
        elif snapshot and kind == "candle":
            day_result = results.valid(lake, day)
            given_up = day_result and day_result.verdict == "findings" and now - day_end(day) > RECHECK_DAYS
            if not given_up and not (day_result and day_result.verdict == "proven"):
                yield Pending("reconcile", kind, day, snapshot.path.rsplit("/", 1)[1])
