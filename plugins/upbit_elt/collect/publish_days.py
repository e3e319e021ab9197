"""Publishes what a live run brought: a file a KST day, repairs of earlier minutes, and days with an unreadable file."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import NamedTuple

from upbit_elt.candle import MINUTE, Candle, day_span, days_between, from_table, kst_day, to_table
from upbit_elt.clock import Clock
from upbit_elt.collect.fetch import FetchResult
from upbit_elt.errors import LakeCorrupt, LeaseHeld
from upbit_elt.intervals import intersection
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.coverage import Coverage, Span, clip
from upbit_elt.lake.lease import Lease, lease
from upbit_elt.lake.publish import Published, publish_snapshot, publish_window, rebuild_snapshot
from upbit_elt.lake.read import latest, read_sources
from upbit_elt.lake.webhdfs import Lake

log = logging.getLogger(__name__)

# How long a run waits for a day's lease.
DAY_WAIT = timedelta(seconds=20)


class DayPublisher:
    """Publishes into one lake. The caller holds the lease of all candles; each day's lease is taken here."""

    def __init__(self, lake: Lake, clock: Clock) -> None:
        self._lake, self._clock = lake, clock

    def publish(
        self,
        results: Sequence[FetchResult],
        before: Sequence[Candle],
        resolved: Sequence[Span],
        coverage: Coverage,
        unreadable: Collection[str],
        held: Lease,
    ) -> tuple[tuple[Published, ...], int]:
        """Publish a run's results by KST day, older days first; returns the files, and how many candles are repairs.

        `before` are candles of earlier minutes as the exchange has them now, `resolved` spans that are no holes any
        more, `unreadable` paths of files that cannot be read.

        Raises:
            LakeError, LeaseHeld: nothing more was published; the days before are.
        """
        if coverage.start == coverage.end:
            return (), 0
        candles = [candle for result in results for candle in result.candles]
        repairs = self._repairs(before)
        files = []
        first = min([coverage.start, *(c.start for c in repairs), *(span.start for span in resolved)])
        for day in days_between(first, coverage.end):
            files += self._publish_day(day, candles, _Repairs(repairs, resolved).of(day), coverage, unreadable, held)
        return tuple(files), len(repairs)

    def rescue(self, lost: Sequence[ledger.Unreadable], files: Sequence[Published], run_id: str) -> list[Published]:
        """Write a new snapshot of each day with an unreadable file that this run did not publish (`files`).

        What is readable goes into it. A day that cannot be written keeps its file until the next run.
        """
        rebuilt = []
        for day in sorted({item.day for item in lost} - {published.day for published in files}):
            try:
                with lease(
                    self._lake, layout.day_folder(self._lake.root, "candle", day), self._clock, DAY_WAIT
                ) as held:
                    rebuilt.append(rebuild_snapshot(self._lake, day, run_id, held, complete=False))
            except (LeaseHeld, LakeCorrupt) as error:
                log.warning("%s keeps its unreadable file until the next run: %s", day, error)
        return rebuilt

    def _publish_day(
        self,
        day: str,
        candles: list[Candle],
        repairs: _Repairs,
        coverage: Coverage,
        unreadable: Collection[str],
        held: Lease,
    ) -> list[Published]:
        files = []
        of_day = to_table(candle for candle in candles if kst_day(candle.start) == day)
        minutes = intersection(coverage, day_span(day))
        with lease(self._lake, layout.day_folder(self._lake.root, "candle", day), self._clock, DAY_WAIT) as day_lease:
            held.renew()  # the wait for the day may have been long
            if repairs.candles or repairs.resolved:
                files.append(self._repair(day, repairs, coverage, day_lease))
            part = coverage.clipped(*minutes) if minutes else None
            # A day that is over and about which the run knows nothing new has its holes in the lake already.
            if part and (part.known() or part.end == coverage.end):
                files.append(publish_window(self._lake, day, of_day, part, day_lease, unreadable=unreadable))
        return files

    def _repair(self, day: str, repairs: _Repairs, coverage: Coverage, held: Lease) -> Published:
        current = ledger.current(self._lake, "candle", day)
        complete = current is not None and current.complete
        moment = min([*(candle.start for candle in repairs.candles), *(span.start for span in repairs.resolved)])
        # Accounts for these minutes only, and says nothing about watermarks and rechecks.
        known = Coverage(
            moment, max([moment, *(span.end for span in repairs.resolved)]), coverage.run, tuple(repairs.resolved)
        )
        log.warning(
            "%s: %d candles of earlier minutes were missing or differed, %d holes are now candles or empty",
            day, len(repairs.candles), len(repairs.resolved),
        )  # fmt: skip
        return publish_snapshot(self._lake, day, to_table(repairs.candles), known, held, complete=complete)

    def _repairs(self, before: Sequence[Candle]) -> list[Candle]:
        """Those of `before` (candles before the window) that the lake lacks, has other values of, or cannot read."""
        repairs: list[Candle] = []
        for day in sorted({kst_day(candle.start) for candle in before}):
            of_day = {candle for candle in before if kst_day(candle.start) == day}
            first, last = min(c.start for c in of_day), max(c.start for c in of_day)
            try:
                tables, _ = read_sources(self._lake, day, first, last + MINUTE)
            except LakeCorrupt as error:
                log.warning("%s: the lake's earlier minutes cannot be read, they are written again: %s", day, error)
                tables = []
            repairs += of_day.difference(from_table(latest(tables)))
        return repairs


class _Repairs(NamedTuple):
    """Candles that the lake lacks or holds with other values, and spans that were holes before this run."""

    candles: list[Candle]
    resolved: Sequence[Span]

    def of(self, day: str) -> _Repairs:
        """The part that lies in a KST day."""
        of_day = [candle for candle in self.candles if kst_day(candle.start) == day]
        return _Repairs(of_day, list(clip(self.resolved, *day_span(day))))
