"""One live run: everything that has closed since the lake's watermark, published day by day."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from upbit_elt.candle import MINUTE, Candle, day_end, day_start, days_between, from_table, kst_day, to_table
from upbit_elt.clock import Clock, Deadline
from upbit_elt.collect import recheck
from upbit_elt.collect.fetch import Budget, FetchResult, fetch
from upbit_elt.collect.leftover import beyond_reach, requests_for, starts_of, still_waiting, within_reach
from upbit_elt.collect.plan import Plan, closed_until, make_plan, until_settled
from upbit_elt.errors import BadResponse, Banned, ExchangeError, LakeCorrupt, LeaseHeld, ServerTrouble
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.models import Ticker
from upbit_elt.holes import HoleReason
from upbit_elt.lake import completeness, layout, ledger
from upbit_elt.lake.backfill_queue import BackfillQueue, request_lost_files
from upbit_elt.lake.coverage import Coverage, Recheck, Span, clip
from upbit_elt.lake.lease import Lease, lease
from upbit_elt.lake.publish import Published, publish_snapshot, publish_window, rebuild_snapshot
from upbit_elt.lake.quarantine import quarantine
from upbit_elt.lake.read import latest, read_sources
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings

log = logging.getLogger(__name__)

# A run asks the exchange for so long (seconds), so that what came is there well before the next run; it may have waited
# for the lease of one that died, and then has the shortest time.
FETCH_SECONDS, SHORTEST = 60.0, 20.0
# market/all and ticker/all have so many seconds each: without them the others are asked all the same.
LISTING = 12.0
# So long another writer is waited for: of all candles (one that died on another machine), and of a day.
WAIT, DAY_WAIT = timedelta(seconds=60), timedelta(seconds=20)


@dataclass(frozen=True)
class Collected:
    """What a run brought: spans and counts, for XCom and logs. `files` are oldest day first.

    `outage` says in words why not one request for candles was answered; "" when one was, or none was due.
    """

    start: datetime
    end: datetime
    markets: int
    requested: int
    inactive: int
    holes: tuple[str, ...]
    candles: int
    repaired: int
    quarantined: int
    new_fields: tuple[str, ...]
    files: tuple[Published, ...]
    outage: str = ""

    def __str__(self) -> str:
        span = f"{self.start:%Y-%m-%dT%H:%MZ} to {self.end:%Y-%m-%dT%H:%MZ}"
        words = f"{self.requested} requested, {self.inactive} quiet, {len(self.holes)} holes, {self.repaired} repaired"
        words += f", {self.quarantined} rows refused" if self.quarantined else ""
        return f"{span}: {self.candles} candles of {self.markets} markets ({words})"


class Collector:
    """Collects windows into one lake; the exchange's clock alone says which minutes are closed."""

    def __init__(self, client: UpbitClient, lake: Lake, settings: Settings, clock: Clock) -> None:
        self._client, self._lake, self._settings, self._clock = client, lake, settings, clock

    def run(self, run_id: str) -> Collected:
        """Bring the lake up to the last closed minute, as far as the exchange answers in time.

        What could not be asked is published as a hole with its reason, and asked again by the next run; what lies
        longer ago than a live run reaches is left to the backfill, with a request.

        Raises:
            ExchangeError: the exchange answered nothing, or gave no clock to trust; nothing was published.
            LeaseHeld: another writer is at work.
            LakeError: nothing, or only the older day of a window across midnight, was published.
        """
        started = Deadline(self._clock, FETCH_SECONDS)
        with lease(self._lake, layout.kind_folder(self._lake.root, "candle"), self._clock, WAIT) as held:
            deadline = Deadline(self._clock, max(started.left, SHORTEST))
            newest = ledger.find_live_file(self._lake)
            known = newest.coverage if newest else None
            lost = newest.unreadable if newest else ()
            markets, listed = self._markets(known)
            tickers, end = self._settled_tickers(needed=not listed)
            first = end - self._settings.first_minutes * MINUTE
            first = min(first, known.end) if known else first
            state = _State.of(known, end, BackfillQueue(self._lake), frozenset(item.file.path for item in lost))
            plan = make_plan(markets, tickers, state.watermark, end, first, recheck.reread_since(state.rechecks))
            budget = Budget(deadline, last=_silent(plan, known), newest=True)
            done = self._round(plan, markets, end, state, budget, run_id, held)
            rescued = self._rescue(lost, done.files, run_id)
            request_lost_files(self._lake, [*rescued, *done.files], self._clock.now(), run_id)
        return _summary(done, len(markets))

    def _round(
        self,
        plan: Plan,
        markets: Sequence[str],
        end: datetime,
        state: _State,
        budget: Budget,
        run_id: str,
        held: Lease,
    ) -> _Round:
        near, rechecked = within_reach(plan, end), recheck.due_requests(state.rechecks, markets, state.end, end)
        # Both in one go; the holes' requests are told apart by what they ask.
        requests, workers = [*near.requests, *rechecked], self._settings.workers
        came = list(fetch(self._client, requests, workers=workers, tick=held.renew, budget=budget))
        self._check_clock(end)
        quarantined = [row for result in came for row in result.quarantined]
        recheck_results = [result.newest_part() for result in came if result.request in rechecked]
        results = [result.newest_part() for result in came if result.request not in rechecked]
        resolved = recheck.resolved(state.rechecks, recheck_results, end)
        left = beyond_reach(plan, [*near.inactive, *(result.request for result in results if not result.failure)])
        rechecks = recheck.after(state.rechecks, near, results, resolved, end, left)
        coverage = self._coverage(plan, near, results, left, Coverage(end, end, run_id, (), state.watermark, rechecks))
        self._request(left, run_id)
        quarantine(self._lake, quarantined, run_id)
        before = [candle for result in results for candle in result.before]
        before += [candle for result in recheck_results for candle in result.candles]
        files, repaired = self._publish(results, before, resolved, coverage, state.unreadable, held)
        return _Round(
            coverage=coverage,
            requested=len(requests),
            inactive=len(near.inactive),
            candles=sum(len(result.candles) for result in results),
            repaired=repaired,
            quarantined=len(quarantined),
            added=frozenset(name for result in results for name in result.added),
            unknown=frozenset(result.request.market for result in results if result.final),
            files=files,
            outage=_outage([*results, *recheck_results]),
        )

    def _check_clock(self, end: datetime) -> None:
        """The clocks of all answers together: the two that `end` was taken from may both have run ahead."""
        usual = self._client.usual_server_time
        if closed_until(usual) < end:
            raise ServerTrouble(f"the exchange's clock ran ahead: {end:%H:%M} is not over by {usual:%H:%M:%S} UTC")

    def _markets(self, known: Coverage | None) -> tuple[list[str], bool]:
        """The markets to collect, and whether the exchange said so; if not, they are those of the run before."""
        try:
            listed = self._brief().markets()
        except Banned:
            raise
        except ExchangeError as error:
            listed, trouble = [], error
        else:
            trouble = BadResponse("market/all lists nothing")
        if not listed:
            quotes = tuple(f"{quote}-" for quote in self._settings.quotes)
            collected = completeness.listed(known) if known else ()
            before = sorted(market for market in collected if market.startswith(quotes))
            if not before:
                raise trouble
            log.warning(
                "market/all is of no use (%s); the %d markets of the run before are asked", trouble, len(before)
            )
            return before, False
        markets = [row.market for row in listed if row.quote in self._settings.quotes]
        if not markets:
            wanted, there = ", ".join(self._settings.quotes), ", ".join(sorted({row.quote for row in listed}))
            raise BadResponse(
                f"market/all lists no market quoted in {wanted}; it lists {there}: choose one with UPBIT_ELT_QUOTES"
            )
        return markets, True

    def _settled_tickers(self, *, needed: bool) -> tuple[list[Ticker], datetime]:
        """Tickers read when the last minute was safely closed, and that minute's end; none when they do not come.

        Raises ExchangeError when they do not come and are `needed`.
        """
        for _ in range(5):
            tickers = self._tickers(needed=needed)
            wait = until_settled(self._client.server_time)
            if wait:
                self._clock.sleep(wait)
            if not wait or tickers is None:
                return tickers or [], closed_until(self._client.server_time)
        raise ServerTrouble("the exchange's Date header does not move on; its clock cannot be trusted")

    def _tickers(self, *, needed: bool) -> list[Ticker] | None:
        try:
            return self._brief().tickers(self._settings.quotes)
        except Banned:
            raise
        except ExchangeError as error:
            if needed:  # the exchange has not answered anything
                raise
            log.warning("ticker/all is of no use (%s); every market is asked", error)
            return None

    def _brief(self) -> UpbitClient:
        return self._client.within(Deadline(self._clock, LISTING), attempts=4)

    def _coverage(
        self, plan: Plan, near: Plan, results: Sequence[FetchResult], left: Sequence[Span], before: Coverage
    ) -> Coverage:
        """What is known after a run; `before`: its end, its doubts and the watermark that it began with."""
        spans = [*left, *(Span(request.market, request.start, request.end, "quiet") for request in near.inactive)]
        spans += [span for result in results for span in result.spans()]
        watermark = dict(before.watermark) | {request.market: request.end for request in near.inactive}
        starts = starts_of(plan)
        for result in results:
            market, first = result.request.market, result.request.start
            # A failed request keeps its market's watermark, so that the next run asks for it again; single rows that
            # were refused do not, nor what is left to the backfill: they are in doubt.
            watermark[market] = starts[market] if result.failure else result.request.end
            if result.failure and starts[market] < first:
                spans.append(Span(market, starts[market], first, "hole", *result.failure))
        start = min((span.start for span in spans), default=before.end)
        return replace(before, start=start, spans=tuple(sorted(spans)), watermark=watermark)

    def _request(self, left: Sequence[Span], run_id: str) -> None:
        """Ask the backfill for what is left to it. A run that is retried asks for the same."""
        queue = BackfillQueue(self._lake)
        for wanted in requests_for(left, self._clock.now(), run_id):
            log.warning("left to the backfill: %s", queue.add(wanted))

    def _publish(
        self,
        results: Sequence[FetchResult],
        before: Sequence[Candle],
        resolved: Sequence[Span],
        coverage: Coverage,
        unreadable: Collection[str],
        held: Lease,
    ) -> tuple[tuple[Published, ...], int]:
        if coverage.start == coverage.end:
            return (), 0
        candles = [candle for result in results for candle in result.candles]
        repairs = self._repairs(before)
        files = []
        first = min([coverage.start, *(c.start for c in repairs), *(span.start for span in resolved)])
        for day in days_between(first, coverage.end):
            files += self._publish_day(day, candles, _Repairs(repairs, resolved).of(day), coverage, unreadable, held)
        return tuple(files), len(repairs)

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
        mine = to_table(candle for candle in candles if kst_day(candle.start) == day)
        start, end = max(coverage.start, day_start(day)), min(coverage.end, day_end(day))
        with lease(self._lake, layout.day_folder(self._lake.root, "candle", day), self._clock, DAY_WAIT) as mine_now:
            held.renew()  # the wait for the day may have been long
            if repairs.candles or repairs.resolved:
                files.append(self._repair(day, repairs, coverage, mine_now))
            part = coverage.clipped(start, end) if start < end else None
            # A day that is over and of which nothing new is known has its holes written down already.
            if part and (part.known() or end == coverage.end):
                files.append(publish_window(self._lake, day, mine, part, mine_now, unreadable=unreadable))
        return files

    def _repair(self, day: str, repairs: _Repairs, coverage: Coverage, held: Lease) -> Published:
        current = ledger.current(self._lake, "candle", day)
        complete = current is not None and current.complete
        moment = min([*(candle.start for candle in repairs.candles), *(span.start for span in repairs.resolved)])
        # Says nothing of other minutes, nor of watermarks and doubts.
        known = Coverage(
            moment, max([moment, *(span.end for span in repairs.resolved)]), coverage.run, tuple(repairs.resolved)
        )
        log.warning(
            "%s: %d candles of earlier minutes were missing or differed, %d holes are known now; repaired",
            day, len(repairs.candles), len(repairs.resolved),
        )  # fmt: skip
        return publish_snapshot(self._lake, day, to_table(repairs.candles), known, held, complete=complete)

    def _rescue(self, lost: Sequence[ledger.Unreadable], files: Sequence[Published], run_id: str) -> list[Published]:
        """Make anew the days with unreadable files that the run did not write, of what can be read of them."""
        made = []
        for day in sorted({item.day for item in lost} - {published.day for published in files}):
            try:
                with lease(
                    self._lake, layout.day_folder(self._lake.root, "candle", day), self._clock, DAY_WAIT
                ) as held:
                    made.append(rebuild_snapshot(self._lake, day, run_id, held, complete=False))
            except (LeaseHeld, LakeCorrupt) as error:
                log.warning("%s stays with its unreadable file until the next run: %s", day, error)
        return made

    def _repairs(self, before: Sequence[Candle]) -> list[Candle]:
        """Candles of minutes before the window that the lake does not hold, or holds otherwise, or cannot read."""
        repairs: list[Candle] = []
        for day in sorted({kst_day(candle.start) for candle in before}):
            mine = {candle for candle in before if kst_day(candle.start) == day}
            first, last = min(c.start for c in mine), max(c.start for c in mine)
            try:
                tables, _ = read_sources(self._lake, day, first, last + MINUTE)
            except LakeCorrupt as error:
                log.warning("%s: earlier minutes cannot be compared, they are written again: %s", day, error)
                tables = []
            repairs += mine.difference(from_table(latest(tables)))
        return repairs


class _State(NamedTuple):
    """What the lake knew before a run: watermark by market, doubts, and the end (UTC) of what was covered."""

    watermark: dict[str, datetime]
    rechecks: tuple[Recheck, ...]
    end: datetime
    unreadable: frozenset[str]

    @classmethod
    def of(cls, known: Coverage | None, end: datetime, queue: BackfillQueue, unreadable: frozenset[str]) -> _State:
        """The state after a file; `end` where there is none yet. `unreadable` are paths of newer files."""
        if known is None:
            return cls({}, (), end, unreadable)
        return cls(dict(known.watermark), still_waiting(known.rechecks or (), queue), known.end, unreadable)


class _Repairs(NamedTuple):
    """Candles that the lake lacks or holds otherwise, and spans that were holes until now."""

    candles: list[Candle]
    resolved: Sequence[Span]

    def of(self, day: str) -> _Repairs:
        """Those of a KST day."""
        first, last = day_start(day), day_end(day)
        mine = [candle for candle in self.candles if kst_day(candle.start) == day]
        return _Repairs(mine, list(clip(self.resolved, first, last)))


class _Round(NamedTuple):
    """What the run brought; `unknown` are the markets that left the exchange in these seconds."""

    coverage: Coverage
    requested: int
    inactive: int
    candles: int
    repaired: int
    quarantined: int
    added: frozenset[str]
    unknown: frozenset[str]
    files: tuple[Published, ...]
    outage: str


def _silent(plan: Plan, known: Coverage | None) -> frozenset[str]:
    """Markets of the plan that did not answer the run before."""
    if known is None:
        return frozenset()
    holes = {span.market for span in known.holes()}
    return frozenset(
        request.market for request in plan.requests if request.start < known.end and request.market in holes
    )


def _outage(results: Sequence[FetchResult]) -> str:
    """Why not one request was answered, "" when one was; markets that fail by their own fault are no outage."""
    failures = [result.failure for result in results if result.failure]
    trouble = [failure for failure in failures if failure.reason.exchange_out or failure.reason is HoleReason.GARBLED]
    if not trouble or len(failures) < len(results):
        return ""
    reasons = ", ".join(f"{reason} {n}" for reason, n in Counter(f.reason.value for f in failures).most_common())
    return f"none of {len(results)} requests for candles was answered ({reasons}: {trouble[0].detail})"


def _summary(done: _Round, markets: int) -> Collected:
    holes = done.coverage.holes()
    for span in holes:
        level = logging.INFO if span.market in done.unknown else logging.WARNING
        log.log(level, "hole, asked again later: %s %s to %s: %s", span.market, span.start, span.end, span.why)
    added = tuple(sorted(done.added))
    if added:
        log.warning("the exchange's candles have fields that are new here and not stored: %s", ", ".join(added))
    collected = Collected(
        start=done.coverage.start,
        end=done.coverage.end,
        markets=markets,
        requested=done.requested,
        inactive=done.inactive,
        holes=tuple(f"{span.market}: {span.why}" for span in holes),
        candles=done.candles,
        repaired=done.repaired,
        quarantined=done.quarantined,
        new_fields=added,
        files=done.files,
        outage=done.outage,
    )
    log.info("%s", collected)
    return collected
