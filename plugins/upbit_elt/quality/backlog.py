"""Which days are open, and which closed ones are not proven: known from the pending markers, derived from the lake.

The markers are looked at by every run; the derivation, which looks at every day ever collected, is done once a day by
housekeeping, and where there are no markers at all (a lake of an earlier release).
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


def newest_day(live_end: datetime) -> str:
    """The KST day that the live runs are in, whose coverage ends at `live_end` (UTC)."""
    return kst_day(live_end - MINUTE)


def with_open_days(lake: Lake, waiting: Sequence[Pending], live_end: datetime, now: datetime) -> list[Pending]:
    """`waiting` (all that is pending), with each day noted as open that the live runs have begun since the last run."""
    known = [entry.day for entry in waiting if entry.task == "close"]
    if known:
        first = day_end(max(known))
    else:
        log.info("no day is noted as open: looking at every day of the lake, once")
        waiting = [*waiting, *derive(lake, now)]
        first = day_start(newest_day(live_end))
    added = [Pending("close", kind, day) for day in days_between(first, live_end) for kind in OPENED]
    _note(lake, added)
    return sorted({*waiting, *added})


def derive(lake: Lake, now: datetime) -> list[Pending]:
    """Note what is not noted of the days that are open or not proven at `now` (UTC); returns what was not.

    Each day of the lake costs some listings.
    """
    there = set(pending.listing(lake))
    expiring = {(entry.kind, entry.day) for entry in there if entry.task == "expire"}
    derived = [entry for kind in OPENED for entry in _derived(lake, kind, now) if entry not in there]
    found = [entry for entry in derived if (entry.kind, entry.day) not in expiring]
    _note(lake, found)
    return found


def unproven(lake: Lake, now: datetime) -> dict[str, list[Pending]]:
    """KST days with a closed snapshot of candles that is not proven as far as is noted, with their markers."""
    waiting = pending.listing(lake)
    if not any(entry.task == "close" for entry in waiting):
        log.info("no day is noted as open: looking at every day of the lake, once")
        waiting = [*waiting, *derive(lake, now)]
    noted: dict[str, list[Pending]] = defaultdict(list)
    for entry in waiting:
        if entry.kind == "candle" and entry.snapshot.startswith("day-"):
            noted[entry.day].append(entry)
    return noted


def newest(noted: Sequence[Pending]) -> str:
    """The newest of the closed snapshots that markers of a day name."""
    return max((entry.snapshot for entry in noted), key=lambda name: int(name.removeprefix("day-")))


def settle(lake: Lake, noted: Sequence[Pending]) -> None:
    """Strike out the markers of a day that is proven, or that is not looked at any more."""
    for entry in noted:
        if entry.task == "reconcile":
            pending.remove(lake, entry)


def _note(lake: Lake, entries: Sequence[Pending]) -> None:
    """Note what a run has found by itself: what cannot be noted now is found again."""
    for entry in entries:
        with isolated(lake, entry.name, {}):
            pending.add(lake, entry)


def _derived(lake: Lake, kind: Kind, now: datetime) -> Iterator[Pending]:
    for day in ledger.days(lake, kind):
        snapshot = ledger.current(lake, kind, day)
        if snapshot and not snapshot.complete:
            yield Pending("close", kind, day)
        elif snapshot and kind == "candle":
            proof = results.valid(lake, day)
            given_up = proof and proof.verdict == "findings" and now - day_end(day) > RECHECK_DAYS
            if not given_up and not (proof and proof.verdict == "proven"):
                yield Pending("reconcile", kind, day, snapshot.path.rsplit("/", 1)[1])
