"""One live run: everything that has closed since the lake's watermark, published day by day."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import pyarrow as pa

from upbit_elt.candle import MINUTE, Candle, day_end, day_start, days_between, from_table, kst_day, parse_wire, to_table
from upbit_elt.clock import Clock
from upbit_elt.collect.fetch import Answer, fetch
from upbit_elt.collect.plan import Plan, closed_until, make_plan, until_settled
from upbit_elt.errors import BadAnswer, ServerTrouble
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.models import Ticker
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.lease import Lease, lease
from upbit_elt.lake.publish import Published, publish_generation, publish_window, roll_up
from upbit_elt.lake.read import latest, read_sources
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings

log = logging.getLogger(__name__)

# The longest span that is held in memory before it is published.
PART = timedelta(hours=12)


@dataclass(frozen=True)
class Collected:
    """What a run brought: spans and counts, for XCom and logs. `files` are oldest day first."""

    start: datetime
    end: datetime
    markets: int
    requested: int
    quiet: int
    holes: tuple[str, ...]
    candles: int
    repaired: int
    files: tuple[Published, ...]

    def __str__(self) -> str:
        span = f"{self.start:%Y-%m-%dT%H:%MZ} to {self.end:%Y-%m-%dT%H:%MZ}"
        asked = f"{self.requested} requested, {self.quiet} quiet, {len(self.holes)} holes, {self.repaired} repaired"
        return f"{span}: {self.candles} candles of {self.markets} markets ({asked})"


class Collector:
    """Collects windows into one lake; the exchange's clock alone says which minutes are closed."""

    def __init__(self, client: UpbitClient, lake: Lake, settings: Settings, clock: Clock) -> None:
        self._client, self._lake, self._settings, self._clock = client, lake, settings, clock

    def run(self, run_id: str) -> Collected:
        """Bring the lake up to the last closed minute.

        Raises:
            ExchangeError: the exchange gave neither its markets nor its tickers; nothing was published.
            LeaseHeld: another collector is at work.
            LakeError: nothing, or only the older day of a window across midnight, was published.
        """
        with lease(self._lake, layout.kind_folder(self._lake.root, "candle"), self._clock) as held:
            markets = self._markets()
            tickers, end = self._settled_tickers()
            known = ledger.newest(self._lake)
            watermark = dict(known.watermark) if known else {}
            first = end - self._settings.first_minutes * MINUTE
            first = min(first, known.end) if known else first
            rounds = []
            for until in _ends(markets, watermark, end):
                plan = make_plan(markets, tickers, watermark, until, first)
                done = self._round(plan, watermark, until, run_id, held)
                watermark = dict(done.coverage.watermark)
                rounds.append(done)
        return _summary(rounds, len(markets))

    def _round(self, plan: Plan, watermark: dict[str, datetime], end: datetime, run_id: str, held: Lease) -> _Round:
        workers = self._settings.workers
        answers = list(fetch(self._client, plan.asks, workers=workers, tick=held.renew))
        coverage = self._coverage(plan, answers, watermark, end, run_id)
        files, repaired = self._publish(answers, coverage, held)
        candles = sum(len(answer.candles) for answer in answers)
        return _Round(plan, coverage, candles, repaired, files)

    def _markets(self) -> list[str]:
        markets = [row.market for row in self._client.markets() if row.quote in self._settings.quotes]
        if not markets:
            quotes = ", ".join(self._settings.quotes)
            raise BadAnswer(f"market/all lists no market quoted in {quotes}; check UPBIT_ELT_QUOTES")
        return markets

    def _settled_tickers(self) -> tuple[list[Ticker], datetime]:
        """Tickers read when the last minute was safely closed, and that minute's end."""
        for _ in range(5):
            tickers = self._client.tickers(self._settings.quotes)
            wait = until_settled(self._client.server_time)
            if not wait:
                return tickers, closed_until(self._client.server_time)
            self._clock.sleep(wait)
        raise ServerTrouble("the exchange's Date header does not move on; its clock cannot be trusted")

    def _coverage(
        self,
        plan: Plan,
        answers: Sequence[Answer],
        watermark: dict[str, datetime],
        end: datetime,
        run_id: str,
    ) -> Coverage:
        spans = [Span(ask.market, ask.start, ask.end, "quiet") for ask in plan.quiet]
        spans += [answer.span() for answer in answers]
        # A hole keeps its market's watermark, so that the next run asks for it again.
        marks = watermark | {span.market: span.end if span.state != "hole" else span.start for span in spans}
        start = min((span.start for span in spans), default=end)
        return Coverage(start, end, run_id, tuple(sorted(spans)), marks)

    def _publish(self, answers: Sequence[Answer], coverage: Coverage, held: Lease) -> tuple[tuple[Published, ...], int]:
        if coverage.start == coverage.end:
            return (), 0
        candles = [candle for answer in answers for candle in answer.candles]
        before = [candle for answer in answers for candle in answer.before]
        repairs = self._repairs(before)
        files = []
        for day in days_between(min([coverage.start, *(c.start for c in repairs)]), coverage.end):
            files += self._publish_day(day, candles, repairs, coverage, held)
        return tuple(files), len(repairs)

    def _publish_day(
        self, day: str, candles: list[Candle], repairs: list[Candle], coverage: Coverage, held: Lease
    ) -> list[Published]:
        files = []
        mine = to_table(candle for candle in candles if kst_day(candle.start) == day)
        mends = to_table(candle for candle in repairs if kst_day(candle.start) == day)
        start, end = max(coverage.start, day_start(day)), min(coverage.end, day_end(day))
        with lease(self._lake, layout.day_folder(self._lake.root, "candle", day), self._clock) as mine_now:
            held.renew()  # the wait for the day may have been long
            if mends.num_rows:
                files.append(self._mend(day, mends, coverage, mine_now))
            part = coverage.clipped(start, end) if start < end else None
            # A day that is over and of which nothing new is known has its holes written down already.
            if part and (part.known() or end == coverage.end):
                files.append(publish_window(self._lake, day, mine, part, mine_now))
                roll_up(self._lake, day, coverage.run, mine_now)
        return files

    def _mend(self, day: str, mends: pa.Table, coverage: Coverage, held: Lease) -> Published:
        current = ledger.current(self._lake, "candle", day)
        complete = current is not None and current.complete
        moment = parse_wire(mends.column("candle_date_time_utc")[0].as_py())
        nothing_new = Coverage(moment, moment, coverage.run)
        log.warning("%s: %d candles of earlier minutes were missing or differed; repaired", day, mends.num_rows)
        return publish_generation(self._lake, day, mends, nothing_new, held, complete=complete)

    def _repairs(self, before: Sequence[Candle]) -> list[Candle]:
        """Candles of minutes before the window that the lake does not hold, or holds otherwise."""
        repairs: list[Candle] = []
        for day in sorted({kst_day(candle.start) for candle in before}):
            mine = {candle for candle in before if kst_day(candle.start) == day}
            first, last = min(c.start for c in mine), max(c.start for c in mine)
            tables, _ = read_sources(self._lake, day, first, last + MINUTE)
            repairs += mine.difference(from_table(latest(tables)))
        return repairs


class _Round(NamedTuple):
    """What one part of a window brought."""

    plan: Plan
    coverage: Coverage
    candles: int
    repaired: int
    files: tuple[Published, ...]


def _ends(markets: Sequence[str], watermark: dict[str, datetime], end: datetime) -> Iterator[datetime]:
    """Ends of the parts of a window. A long outage is healed part by part: memory stays flat, and what a run that is
    cut short has published is not asked again."""
    newest = max((watermark[market] for market in markets if market in watermark), default=end)
    while newest + PART < end:
        newest += PART
        yield newest
    yield end


def _summary(rounds: Sequence[_Round], markets: int) -> Collected:
    holes = tuple(f"{span.market}: {span.reason}" for span in rounds[-1].coverage.holes())
    for hole in holes:
        log.warning("hole, asked again by the next run: %s", hole)
    collected = Collected(
        start=rounds[0].coverage.start,
        end=rounds[-1].coverage.end,
        markets=markets,
        requested=sum(len(part.plan.asks) for part in rounds),
        quiet=sum(len(part.plan.quiet) for part in rounds),
        holes=holes,
        candles=sum(part.candles for part in rounds),
        repaired=sum(part.repaired for part in rounds),
        files=tuple(published for part in rounds for published in part.files),
    )
    log.info("%s", collected)
    return collected
