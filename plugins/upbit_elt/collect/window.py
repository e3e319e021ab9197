"""One live run: everything that has closed since the lake's watermark, published day by day."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from upbit_elt.candle import MINUTE, Candle, day_end, day_start, days_between, from_table, kst_day, to_table
from upbit_elt.clock import Clock
from upbit_elt.collect import doubts as doubted
from upbit_elt.collect.fetch import Answer, fetch
from upbit_elt.collect.plan import Plan, closed_until, make_plan, until_settled
from upbit_elt.errors import BadAnswer, ServerTrouble
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.models import Ticker
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.aside import set_aside
from upbit_elt.lake.coverage import Coverage, Doubt, Span, clip
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
    refused: int
    new_fields: tuple[str, ...]
    files: tuple[Published, ...]

    def __str__(self) -> str:
        span = f"{self.start:%Y-%m-%dT%H:%MZ} to {self.end:%Y-%m-%dT%H:%MZ}"
        asked = f"{self.requested} requested, {self.quiet} quiet, {len(self.holes)} holes, {self.repaired} repaired"
        asked += f", {self.refused} rows refused" if self.refused else ""
        return f"{span}: {self.candles} candles of {self.markets} markets ({asked})"


class Collector:
    """Collects windows into one lake; the exchange's clock alone says which minutes are closed."""

    def __init__(self, client: UpbitClient, lake: Lake, settings: Settings, clock: Clock) -> None:
        self._client, self._lake, self._settings, self._clock = client, lake, settings, clock

    def run(self, run_id: str) -> Collected:
        """Bring the lake up to the last closed minute.

        Raises:
            ExchangeError: the exchange gave no markets, no tickers or no clock to trust; no more was published.
            LeaseHeld: another collector is at work.
            LakeError: nothing, or only the older day of a window across midnight, was published.
        """
        with lease(self._lake, layout.kind_folder(self._lake.root, "candle"), self._clock) as held:
            markets = self._markets()
            tickers, end = self._settled_tickers()
            known = ledger.newest(self._lake)
            first = end - self._settings.first_minutes * MINUTE
            first = min(first, known.end) if known else first
            state = _State.of(known, end)
            rounds = []
            for until in _ends(markets, state.watermark, end):
                plan = make_plan(markets, tickers, state.watermark, until, first, doubted.quiet_since(state.doubts))
                done = self._round(plan, markets, state, until, run_id, held)
                state = _State.of(done.coverage, until)
                rounds.append(done)
        return _summary(rounds, len(markets))

    def _round(
        self, plan: Plan, markets: Sequence[str], state: _State, end: datetime, run_id: str, held: Lease
    ) -> _Round:
        again = doubted.again(state.doubts, markets, state.end, end)
        # Both in one go; the holes' requests are told apart by what they ask.
        answers = list(fetch(self._client, [*plan.asks, *again], workers=self._settings.workers, tick=held.renew))
        self._check_clock(end)
        refused = [row for answer in answers for row in answer.refused]
        heals = [answer for answer in answers if answer.ask in again]
        answers = [answer for answer in answers if answer.ask not in again]
        healed = doubted.healed(state.doubts, heals, end)
        left = doubted.after(state.doubts, plan, answers, healed, end)
        coverage = self._coverage(plan, answers, state.watermark, end, run_id, left)
        set_aside(self._lake, refused, run_id)
        before = [candle for answer in answers for candle in answer.before]
        before += [candle for answer in heals for candle in answer.candles]
        files, repaired = self._publish(answers, before, healed, coverage, held)
        return _Round(
            coverage=coverage,
            requested=len(plan.asks) + len(again),
            quiet=len(plan.quiet),
            candles=sum(len(answer.candles) for answer in answers),
            repaired=repaired,
            refused=len(refused),
            added=frozenset(name for answer in answers for name in answer.added),
            unknown=frozenset(answer.ask.market for answer in answers if answer.final),
            files=files,
        )

    def _check_clock(self, end: datetime) -> None:
        """The clocks of all answers together: the two that `end` was taken from may both have run ahead."""
        usual = self._client.usual_server_time
        if closed_until(usual) < end:
            raise ServerTrouble(f"the exchange's clock ran ahead: {end:%H:%M} is not over by {usual:%H:%M:%S} UTC")

    def _markets(self) -> list[str]:
        listed = self._client.markets()
        markets = [row.market for row in listed if row.quote in self._settings.quotes]
        if not markets:
            wanted = ", ".join(self._settings.quotes)
            there = ", ".join(sorted({row.quote for row in listed})) or "nothing"
            raise BadAnswer(
                f"market/all lists no market quoted in {wanted}; it lists {there}: choose one with UPBIT_ELT_QUOTES"
            )
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
        left: tuple[Doubt, ...],
    ) -> Coverage:
        spans = [Span(ask.market, ask.start, ask.end, "quiet") for ask in plan.quiet]
        spans += [span for answer in answers for span in answer.spans()]
        marks = watermark | {ask.market: ask.end for ask in plan.quiet}
        # A failed request keeps its market's watermark, so that the next run asks for it again; single rows that were
        # refused do not: they are in doubt.
        marks |= {a.ask.market: a.ask.start if a.failure else a.ask.end for a in answers}
        start = min((span.start for span in spans), default=end)
        return Coverage(start, end, run_id, tuple(sorted(spans)), marks, left)

    def _publish(
        self,
        answers: Sequence[Answer],
        before: Sequence[Candle],
        healed: Sequence[Span],
        coverage: Coverage,
        held: Lease,
    ) -> tuple[tuple[Published, ...], int]:
        if coverage.start == coverage.end:
            return (), 0
        candles = [candle for answer in answers for candle in answer.candles]
        repairs = self._repairs(before)
        files = []
        first = min([coverage.start, *(c.start for c in repairs), *(span.start for span in healed)])
        for day in days_between(first, coverage.end):
            files += self._publish_day(day, candles, _Mends(repairs, healed).of(day), coverage, held)
        return tuple(files), len(repairs)

    def _publish_day(
        self, day: str, candles: list[Candle], mends: _Mends, coverage: Coverage, held: Lease
    ) -> list[Published]:
        files = []
        mine = to_table(candle for candle in candles if kst_day(candle.start) == day)
        start, end = max(coverage.start, day_start(day)), min(coverage.end, day_end(day))
        with lease(self._lake, layout.day_folder(self._lake.root, "candle", day), self._clock) as mine_now:
            held.renew()  # the wait for the day may have been long
            if mends.candles or mends.healed:
                files.append(self._mend(day, mends, coverage, mine_now))
            part = coverage.clipped(start, end) if start < end else None
            # A day that is over and of which nothing new is known has its holes written down already.
            if part and (part.known() or end == coverage.end):
                files.append(publish_window(self._lake, day, mine, part, mine_now))
                roll_up(self._lake, day, coverage.run, mine_now)
        return files

    def _mend(self, day: str, mends: _Mends, coverage: Coverage, held: Lease) -> Published:
        current = ledger.current(self._lake, "candle", day)
        complete = current is not None and current.complete
        moment = min([*(candle.start for candle in mends.candles), *(span.start for span in mends.healed)])
        # Says nothing of other minutes, nor of watermarks and doubts.
        known = Coverage(moment, max([moment, *(span.end for span in mends.healed)]), coverage.run, tuple(mends.healed))
        log.warning(
            "%s: %d candles of earlier minutes were missing or differed, %d holes are known now; repaired",
            day, len(mends.candles), len(mends.healed),
        )  # fmt: skip
        return publish_generation(self._lake, day, to_table(mends.candles), known, held, complete=complete)

    def _repairs(self, before: Sequence[Candle]) -> list[Candle]:
        """Candles of minutes before the window that the lake does not hold, or holds otherwise."""
        repairs: list[Candle] = []
        for day in sorted({kst_day(candle.start) for candle in before}):
            mine = {candle for candle in before if kst_day(candle.start) == day}
            first, last = min(c.start for c in mine), max(c.start for c in mine)
            tables, _ = read_sources(self._lake, day, first, last + MINUTE)
            repairs += mine.difference(from_table(latest(tables)))
        return repairs


class _State(NamedTuple):
    """What the lake knew before a part: watermark by market, doubts, and the end (UTC) of what was covered."""

    watermark: dict[str, datetime]
    doubts: tuple[Doubt, ...]
    end: datetime

    @classmethod
    def of(cls, known: Coverage | None, end: datetime) -> _State:
        """The state after a file; `end` where there is none yet."""
        return cls(dict(known.watermark), known.doubts or (), known.end) if known else cls({}, (), end)


class _Mends(NamedTuple):
    """Candles that the lake lacks or holds otherwise, and spans that were holes until now."""

    candles: list[Candle]
    healed: Sequence[Span]

    def of(self, day: str) -> _Mends:
        """Those of a KST day."""
        first, last = day_start(day), day_end(day)
        mine = [candle for candle in self.candles if kst_day(candle.start) == day]
        return _Mends(mine, list(clip(self.healed, first, last)))


class _Round(NamedTuple):
    """What one part of a window brought; `unknown` are the markets that left the exchange in these seconds."""

    coverage: Coverage
    requested: int
    quiet: int
    candles: int
    repaired: int
    refused: int
    added: frozenset[str]
    unknown: frozenset[str]
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
    holes = tuple(f"{span.market}: {span.why}" for span in rounds[-1].coverage.holes())
    for span in rounds[-1].coverage.holes():
        level = logging.INFO if span.market in rounds[-1].unknown else logging.WARNING
        log.log(level, "hole, asked again later: %s %s to %s: %s", span.market, span.start, span.end, span.why)
    added = tuple(sorted({name for part in rounds for name in part.added}))
    if added:
        log.warning("the exchange's candles have fields that are new here and not stored: %s", ", ".join(added))
    collected = Collected(
        start=rounds[0].coverage.start,
        end=rounds[-1].coverage.end,
        markets=markets,
        requested=sum(part.requested for part in rounds),
        quiet=sum(part.quiet for part in rounds),
        holes=holes,
        candles=sum(part.candles for part in rounds),
        repaired=sum(part.repaired for part in rounds),
        refused=sum(part.refused for part in rounds),
        new_fields=added,
        files=tuple(published for part in rounds for published in part.files),
    )
    log.info("%s", collected)
    return collected
