"""Older history, newest day first, in short chunks behind the live runs.

Candles of a day wait in `_backfill/` until all markets are accounted for; then one new generation of the day
shows them all at once. Only minutes before a market's watermark are asked: those after it belong to live runs.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from upbit_elt.candle import day_end, day_start, kst_day, to_table
from upbit_elt.clock import Clock
from upbit_elt.collect.fetch import fetch
from upbit_elt.collect.plan import Ask
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.aside import set_aside
from upbit_elt.lake.coverage import Coverage, Span, gaps, merge
from upbit_elt.lake.lease import Lease, lease
from upbit_elt.lake.parquet import coverage_of, decode, encode, read_coverage
from upbit_elt.lake.publish import Published, publish_generation
from upbit_elt.lake.read import latest
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings

log = logging.getLogger(__name__)

# Markets a chunk: 8 requests each for a day make some 20 s at the exchange's limit.
CHUNK = 24
CHUNK_TIME = timedelta(seconds=30)
# Part of the markets that may be out of reach when a day is shown.
FEW_MISSING = 0.1


@dataclass(frozen=True)
class Progress:
    """What a run of the history did. `published` days must now be shown in Hive; `left` days are not done."""

    candles: int
    published: tuple[Published, ...]
    left: tuple[str, ...]


class History:
    """Fills the days before the first live run."""

    def __init__(
        self, client: UpbitClient, lake: Lake, settings: Settings, clock: Clock, *, chunk: int = CHUNK
    ) -> None:
        self._client, self._lake, self._settings, self._clock = client, lake, settings, clock
        self._chunk = chunk

    def run(self, run_id: str, until: datetime) -> Progress:
        """Work in chunks as long as one fits before `until` (UTC) and no live run is under way.

        A market that cannot be reached now leaves its day open for a later run; the others go on.

        Raises:
            LakeError: the lake could not be read or written; what was staged stays. Run it again.
        """
        live = ledger.newest(self._lake)
        if live is None:
            return Progress(0, (), ())
        step = _Step(self._client, self._lake, self._settings, self._clock, live, run_id, self._chunk)
        published: list[Published] = []
        left = []
        with lease(self._lake, layout.backfill_root(self._lake.root), self._clock, wait=timedelta(0)) as held:
            for day in self.wanted_days(self._settings, self._clock):
                published += step.work(day, lambda: self._may_go_on(until), held)
                left += [day] if step.missing(day) else []
        return Progress(step.candles, tuple(published), tuple(left))

    @staticmethod
    def wanted_days(settings: Settings, clock: Clock) -> list[str]:
        """Today and the KST days of the wanted history, newest first."""
        return [kst_day(clock.now() - timedelta(days=back)) for back in range(settings.history_days + 1)]

    def _may_go_on(self, until: datetime) -> bool:
        live_lease = f"{layout.kind_folder(self._lake.root, 'candle')}/_lease"
        return self._clock.now() + CHUNK_TIME <= until and not self._lake.exists(live_lease)


class _Step:
    """One run's work on the days: asks, stages, and publishes what is complete."""

    def __init__(
        self, client: UpbitClient, lake: Lake, settings: Settings, clock: Clock, live: Coverage, run_id: str, chunk: int
    ) -> None:
        self._client, self._lake, self._settings, self._clock = client, lake, settings, clock
        self._live, self._run_id, self._chunk = live, run_id, chunk
        self._listed = {span.market for span in live.spans}
        self._unreachable: set[str] = set()
        self.candles = 0

    def work(self, day: str, may_go_on: Callable[[], bool], held: Lease) -> list[Published]:
        """Stage chunks of a day until all of it is known, or no more may be asked; publish it then.

        A few markets out of reach do not hold the day back: it is shown without them, and asked for again.
        """
        if not self.missing(day):
            self._lake.delete(layout.backfill_folder(self._lake.root, day))  # a run died right after publishing
            return []
        while may_go_on():
            tables, staged = self._staged(day)
            missing = self.missing(day, staged)
            asks = [ask for ask in missing if ask.market not in self._unreachable][: self._chunk]
            if asks:
                self._stage(day, asks, held)
            elif staged and len({ask.market for ask in missing}) <= FEW_MISSING * len(self._live.watermark):
                return [self._publish(day, tables, staged)]
            else:
                break
        return []

    def missing(self, day: str, staged: Sequence[Coverage] = ()) -> list[Ask]:
        """Per market the span before its first known minute of the day; later ones are the live runs' business."""
        first = self._first_known(day)
        spans: dict[str, list[Span]] = defaultdict(list)
        for span in (span for coverage in staged for span in coverage.spans):
            spans[span.market].append(span)
        return [
            Ask(market, start, end)
            for market, watermark in sorted(self._live.watermark.items())
            for start, end in gaps(spans[market], day_start(day), min(first.get(market, day_end(day)), watermark))
        ]

    def _first_known(self, day: str) -> dict[str, datetime]:
        """First minute that the day's current generation accounts for, by market; reads as few footers as it takes."""
        first: dict[str, datetime] = {}
        generation = ledger.current(self._lake, "candle", day)
        for file in ledger.files(self._lake, generation, day) if generation else []:
            for span in read_coverage(self._lake, file.path, file.size).spans:
                first[span.market] = min(span.start, first.get(span.market, span.start))
            if first.keys() >= self._listed:
                break
        return first

    def _stage(self, day: str, asks: Sequence[Ask], held: Lease) -> None:
        answers = list(fetch(self._client, asks, workers=self._settings.workers, tick=held.renew))
        done = [answer for answer in answers if answer.final or not answer.failure]
        self._unreachable |= {answer.ask.market for answer in answers} - {answer.ask.market for answer in done}
        for answer in answers:
            if answer.failure:
                log.warning("history of %s, %s: %s", day, answer.ask.market, answer.failure)
        if not done:
            return
        table = to_table(candle for answer in done for candle in answer.candles)
        spans = tuple(sorted(span for answer in done for span in answer.spans()))
        set_aside(self._lake, (row for answer in answers for row in answer.refused), self._run_id)
        coverage = Coverage(min(s.start for s in spans), max(s.end for s in spans), self._run_id, spans)
        name = f"{spans[0].market}_{layout.stamp(spans[0].start)}_{spans[-1].market}.parquet"
        self._lake.publish(f"{layout.backfill_folder(self._lake.root, day)}/{name}", encode(table, coverage))
        self.candles += table.num_rows

    def _staged(self, day: str) -> tuple[list[pa.Table], list[Coverage]]:
        folder = layout.backfill_folder(self._lake.root, day)
        tables, coverages = [], []
        for entry in self._lake.list(folder):
            if not entry.name.startswith("_"):
                data = self._lake.read(f"{folder}/{entry.name}")
                tables.append(decode(data, entry.name))
                coverages.append(coverage_of(data, entry.name))
        return tables, coverages

    def _publish(self, day: str, tables: list[pa.Table], staged: Sequence[Coverage]) -> Published:
        coverage = merge(staged, self._run_id)
        complete = all(self._live.watermark[market] >= day_end(day) for market in self._listed)
        with lease(self._lake, layout.day_folder(self._lake.root, "candle", day), self._clock) as held:
            shown = publish_generation(self._lake, day, latest(tables), coverage, held, complete=complete)
        self._lake.delete(layout.backfill_folder(self._lake.root, day))
        log.info("history of %s: %d candles in %s", day, shown.rows, shown.folder)
        return shown
