"""The steps of the DAG `close_day`: close days of candles and forecasts, and compact forecasts of the open day.

A KST day is closed once every market that is still listed has no hole up to 24:00 KST. A day with holes waits for these
to be filled, for `close_wait_hours` at most; then it is closed with its holes. A hole that is filled later makes
a new snapshot of the closed day. A day before collection began is closed by the backfill (backfill/worker.py), and
stays open when only some of its markets were requested.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from upbit_elt.candle import KST, day_end
from upbit_elt.clock import Clock, SystemClock
from upbit_elt.errors import ConfigError, LeaseHeld
from upbit_elt.forecast import store
from upbit_elt.lake import completeness, layout, ledger, pending, publish
from upbit_elt.lake.backfill_queue import request_lost_files
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.isolation import isolated
from upbit_elt.lake.layout import Kind
from upbit_elt.lake.lease import Lease, lease
from upbit_elt.lake.ledger import Snapshot
from upbit_elt.lake.pending import Pending
from upbit_elt.lake.snapshot import Published
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality import backlog
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive
from upbit_elt.warehouse.register import DailyTable, register_now

log = logging.getLogger(__name__)

# The forecast of a day's last minute may still be in progress when the next day begins.
LAST_FORECAST = timedelta(minutes=10)
# A day whose lease another writer holds is left to the next run.
NO_WAIT = timedelta(0)
Step = Callable[[Lease], list[Published]]


@dataclass
class Closed:
    """What a run did.

    `made` are the published snapshots, `repaired_tables` the days that it registered for a run that died, `holes` those
    of the closed days, and `waiting` the days that wait, with the reason. `troubles` are the days that failed, with the
    errors' words.
    """

    made: list[Published] = field(default_factory=list)
    repaired_tables: list[str] = field(default_factory=list)
    holes: list[Span] = field(default_factory=list)
    waiting: dict[str, str] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)


class Closer:
    """Closes days and compacts forecasts; a second run goes on where the first ended."""

    def __init__(self, lake: Lake, hive: Hive, settings: Settings, clock: Clock) -> None:
        self._lake, self._hive, self._settings, self._clock = lake, hive, settings, clock

    def run(self, run_id: str, *, only: str | None = None, with_holes: bool = False) -> Closed:
        """Close each day that is ready, or only the KST day `only`; register the snapshots of writers that died.

        With `with_holes` days are closed that would still wait for their holes. A day that cannot be read or written
        stays as it is, with its reason; the others are closed.

        Raises:
            ConfigError: the lake has nothing of the day `only`, or the day is not over.
            LakeError, WarehouseError: HDFS or Hive do not answer, so not all days are done; run it again.
        """
        live = ledger.live_coverage(self._lake)
        done = Closed()
        if only:
            self._check(only, live)
        if live is None:
            return done
        waiting = pending.listing(self._lake)
        if not only:
            waiting = backlog.with_open_days(self._lake, waiting, live.end, self._clock.now())
            self._repair([entry for entry in waiting if entry.task == "register"], done)
        for kind in backlog.OPENED:
            for day in [only] if only else _days(waiting, kind):
                with isolated(self._lake, f"{kind} {day}", done.troubles):
                    self._day(kind, day, live, run_id, done, with_holes=with_holes)
        return done

    def _day(self, kind: Kind, day: str, live: Coverage, run_id: str, done: Closed, *, with_holes: bool) -> None:
        over = _is_over(day, live) if kind == "candle" else live.end >= day_end(day) + LAST_FORECAST
        if kind == "candle" and not over:
            return
        snapshot = ledger.current(self._lake, kind, day)
        if snapshot and not snapshot.complete:
            if kind == "candle":
                step = self._candles(day, live, run_id, done, with_holes=with_holes)
            else:
                step = self._forecasts(day, snapshot, run_id, over=over)
            if step:
                self._leased(kind, day, done, step)
            if f"{kind} {day}" in done.waiting or not over:
                return
        elif not over:
            return
        if backlog.current_day(live.end) != day:  # the marker of the current day stays: with_open_days goes by it
            pending.remove(self._lake, Pending("close", kind, day))

    def _check(self, day: str, live: Coverage | None) -> None:
        if live is None or day not in ledger.days(self._lake, "candle"):
            raise ConfigError(f"--day {day}: the lake has nothing of this KST day (yyMMdd)")
        if not _is_over(day, live):
            raise ConfigError(
                f"--day {day}: the day is not over yet; the lake reaches until {live.end:%Y-%m-%dT%H:%MZ}"
            )

    def _leased(self, kind: Kind, day: str, done: Closed, step: Step) -> None:
        try:
            with lease(self._lake, layout.day_folder(self._lake.root, kind, day), self._clock, wait=NO_WAIT) as held:
                made = step(held)
        except LeaseHeld as busy:
            done.waiting[f"{kind} {day}"] = str(busy)
            return
        request_lost_files(self._lake, made, now := self._clock.now(), f"close {now:%Y%m%dT%H%M%S}")
        for published in made:
            log.info("%s of %s: %d rows in %s", kind, day, published.rows, published.folder)
        if made:
            register_now(self._lake, self._hive, self._settings, DailyTable(kind, day))
        done.made += made

    def _candles(self, day: str, live: Coverage, run_id: str, done: Closed, *, with_holes: bool) -> Step | None:
        """The step that closes a day of candles; None while the day has to wait, or when the backfill completes it."""
        if not completeness.collected(self._lake, day):
            return None
        left = completeness.missing(self._lake, day, live)
        patient = live.end < day_end(day) + timedelta(hours=self._settings.close_wait_hours)
        if left and patient and not with_holes:
            done.waiting[f"candle {day}"] = _words(left)
            return None

        def step(held: Lease) -> list[Published]:
            made = [publish.rebuild_snapshot(self._lake, day, run_id, held, complete=True)]
            for hole in left:
                words = f"{hole.market} {hole.start} to {hole.end}: {hole.why}"
                log.warning("%s is closed with a hole: %s", day, words)
            done.holes += left
            return made

        return step

    def _forecasts(self, day: str, snapshot: Snapshot, run_id: str, *, over: bool) -> Step | None:
        """The step that closes a day of forecasts once no more come, or compacts it when that is due; else None."""
        if over or store.needs_compaction(self._lake, snapshot, day):
            return lambda held: [store.compact_day(self._lake, day, run_id, held, complete=over)]
        return None

    def _repair(self, waiting: Sequence[Pending], done: Closed) -> None:
        """Register the snapshots of writers that died after publishing; drop the markers of those that died before."""
        for kind, day in sorted({(entry.kind, entry.day) for entry in waiting}):
            with isolated(self._lake, f"{kind} {day}", done.troubles):
                if register_now(self._lake, self._hive, self._settings, DailyTable(kind, day)):
                    log.warning(
                        "%s of %s was not registered in Hive by the run that published it; registered now", kind, day
                    )
                    done.repaired_tables.append(f"{kind} {day}")
        for entry in pending.listing(self._lake) if waiting else ():
            if entry in waiting and f"{entry.kind} {entry.day}" not in done.troubles:
                self._leased(entry.kind, entry.day, done, partial(self._forget, entry))

    def _forget(self, entry: Pending, held: Lease) -> list[Published]:
        """Remove the marker of a snapshot that does not exist: under the lease no other writer is about to add it."""
        stored = [found.path for found in ledger.snapshots(self._lake, entry.kind, entry.day)]
        held.check()
        if not any(path.endswith(f"/{entry.snapshot}") for path in stored):
            pending.remove(self._lake, entry)
        return []


def close(settings: Settings, run_id: str, *, only: str | None = None, with_holes: bool = False) -> Closed:
    """Close the days that are ready and register them in Hive. Raises as Closer.run."""
    closer = Closer(Lake.from_settings(settings), Hive.from_settings(settings), settings, SystemClock())
    return closer.run(run_id, only=only, with_holes=with_holes)


def _days(waiting: Sequence[Pending], kind: Kind) -> list[str]:
    """The open days of a kind by the pending markers, newest first."""
    return sorted((entry.day for entry in waiting if entry.task == "close" and entry.kind == kind), reverse=True)


def _is_over(day: str, live: Coverage) -> bool:
    """Whether the live coverage reaches into the next day, so that the day's last window is there or is a hole."""
    return live.end > day_end(day)


def _words(left: list[Span]) -> str:
    first = left[0]
    markets = len({span.market for span in left})
    start, end = (moment.astimezone(KST) for moment in (first.start, first.end))
    return f"{markets} markets have holes, as {first.market} {start:%H:%M} to {end:%H:%M} KST: {first.why}"
