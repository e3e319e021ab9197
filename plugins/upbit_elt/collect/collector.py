"""One live run: it fetches every minute that has closed since the lake's watermark and publishes it day by day."""

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
from upbit_elt.collect.plan import FetchPlan, closed_until, make_plan, until_settled
from upbit_elt.collect.reach import beyond_reach, requests_for, starts_of, still_waiting, within_reach
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

# Seconds a run may fetch, counted from its start, so that it publishes well before the next run. The wait for the lease
# of a dead run counts too; SHORTEST is what remains to fetch in any case.
FETCH_SECONDS, SHORTEST = 60.0, 20.0
# Seconds that market/all and ticker/all may take each; without their results the run requests candles all the same.
LISTING = 12.0
# How long a run waits for the lease of all candles (its holder may have died on another machine), and for a day's.
WAIT, DAY_WAIT = timedelta(seconds=60), timedelta(seconds=20)


@dataclass(frozen=True)
class Collected:
    """What a run fetched and published, for XCom and logs: its span [start, end) (UTC), counts, and the files.

    `files` are sorted, oldest day first. `outage` says in words why every request for candles failed; it is "" when one
    succeeded, or none was due.
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
        words = (
            f"{self.requested} requested, {self.inactive} inactive, {len(self.holes)} holes, {self.repaired} repaired"
        )
        words += f", {self.quarantined} rows quarantined" if self.quarantined else ""
        return f"{span}: {self.candles} candles of {self.markets} markets ({words})"


class Collector:
    """Collects live candles into one lake. Which minutes are closed is decided by the exchange's clock alone."""

    def __init__(self, client: UpbitClient, lake: Lake, settings: Settings, clock: Clock) -> None:
        self._client, self._lake, self._settings, self._clock = client, lake, settings, clock

    def run(self, run_id: str) -> Collected:
        """Bring the lake up to the last closed minute, as far as the exchange answers in time.

        A span whose request failed is published as a hole with its reason, and the next run requests it again. A span
        that lies too long ago for a live run is left to the backfill: this run adds a backfill request for it.

        Raises:
            ExchangeError: the exchange answered nothing, or its clock cannot be trusted; nothing was published.
            LeaseHeld: another writer holds the lease.
            LakeError: nothing was published, or only the older day of a window across midnight.
        """
        started = Deadline(self._clock, FETCH_SECONDS)
        with lease(self._lake, layout.kind_folder(self._lake.root, "candle"), self._clock, WAIT) as held:
            deadline = Deadline(self._clock, max(started.left, SHORTEST))
            live_file = ledger.find_live_file(self._lake)
            known = live_file.coverage if live_file else None
            lost = live_file.unreadable if live_file else ()
            markets, listed = self._markets(known)
            tickers, end = self._settled_tickers(needed=not listed)
            first = end - self._settings.first_minutes * MINUTE
            first = min(first, known.end) if known else first
            state = _State.of(known, end, BackfillQueue(self._lake), frozenset(item.file.path for item in lost))
            plan = make_plan(markets, tickers, state.watermark, end, first, recheck.reread_since(state.rechecks))
            budget = Budget(deadline, last=_failed_before(plan, known), allow_partial=True)
            done = self._collect(plan, markets, end, state, budget, run_id, held)
            rescued = self._rescue(lost, done.files, run_id)
            request_lost_files(self._lake, [*rescued, *done.files], self._clock.now(), run_id)
        return _summary(done, len(markets))

    def _collect(
        self,
        plan: FetchPlan,
        markets: Sequence[str],
        end: datetime,
        state: _State,
        budget: Budget,
        run_id: str,
        held: Lease,
    ) -> _RunResult:
        near, rechecked = within_reach(plan, end), recheck.due_requests(state.rechecks, markets, state.end, end)
        # Both are fetched together; the rechecks' results are separated by their requests afterwards.
        requests, workers = [*near.requests, *rechecked], self._settings.workers
        fetched = list(fetch(self._client, requests, workers=workers, tick=held.renew, budget=budget))
        self._check_clock(end)
        quarantined = [row for result in fetched for row in result.quarantined]
        recheck_results = [result.arrived_part() for result in fetched if result.request in rechecked]
        results = [result.arrived_part() for result in fetched if result.request not in rechecked]
        resolved = recheck.resolved(state.rechecks, recheck_results, end)
        left = beyond_reach(plan, [*near.inactive, *(result.request for result in results if not result.failure)])
        rechecks = recheck.after(state.rechecks, near, results, resolved, end, left)
        coverage = self._coverage(plan, near, results, left, Coverage(end, end, run_id, (), state.watermark, rechecks))
        self._request(left, run_id)
        quarantine(self._lake, quarantined, run_id)
        before = [candle for result in results for candle in result.before]
        before += [candle for result in recheck_results for candle in result.candles]
        files, repaired = self._publish(results, before, resolved, coverage, state.unreadable, held)
        return _RunResult(
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
        """Compare `end` (UTC) with the clocks of all responses: the two that it was taken from may both run ahead.

        Raises ServerTrouble when the minute before `end` is not over by the usual clock.
        """
        usual = self._client.usual_server_time
        if closed_until(usual) < end:
            raise ServerTrouble(f"the exchange's clock ran ahead: {end:%H:%M} is not over by {usual:%H:%M:%S} UTC")

    def _markets(self, known: Coverage | None) -> tuple[list[str], bool]:
        """The markets to collect, and whether they come from market/all; else they are those of the run before.

        Raises ExchangeError when market/all fails and no run before says which markets there were.
        """
        try:
            listed = self._short_client().markets()
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
                "market/all is not usable (%s); requesting the %d markets of the run before", trouble, len(before)
            )
            return before, False
        markets = [row.market for row in listed if row.quote in self._settings.quotes]
        if not markets:
            wanted, found = ", ".join(self._settings.quotes), ", ".join(sorted({row.quote for row in listed}))
            raise BadResponse(
                f"market/all lists no market quoted in {wanted}; it lists {found}: choose one with UPBIT_ELT_QUOTES"
            )
        return markets, True

    def _settled_tickers(self, *, needed: bool) -> tuple[list[Ticker], datetime]:
        """Read the tickers after the last minute has safely closed: (tickers, that minute's end in UTC).

        Without an answer there are no tickers; with `needed` that raises ExchangeError instead.
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
            return self._short_client().tickers(self._settings.quotes)
        except Banned:
            raise
        except ExchangeError as error:
            if needed:  # market/all failed too: the exchange answers nothing
                raise
            log.warning("ticker/all is not usable (%s); requesting every market", error)
            return None

    def _short_client(self) -> UpbitClient:
        return self._client.within(Deadline(self._clock, LISTING), attempts=4)

    def _coverage(
        self, plan: FetchPlan, near: FetchPlan, results: Sequence[FetchResult], left: Sequence[Span], before: Coverage
    ) -> Coverage:
        """The coverage after a run; `before` has the run's end, its rechecks, and the watermark that it began with."""
        spans = [*left, *(Span(request.market, request.start, request.end, "quiet") for request in near.inactive)]
        spans += [span for result in results for span in result.spans()]
        watermark = dict(before.watermark) | {request.market: request.end for request in near.inactive}
        starts = starts_of(plan)
        for result in results:
            market, first = result.request.market, result.request.start
            # A failed request leaves its market's watermark where it is, so that the next run requests the span again.
            # Quarantined rows and spans left to the backfill do not hold the watermark back: they become rechecks.
            watermark[market] = starts[market] if result.failure else result.request.end
            if result.failure and starts[market] < first:
                spans.append(Span(market, starts[market], first, "hole", *result.failure))
        start = min((span.start for span in spans), default=before.end)
        return replace(before, start=start, spans=tuple(sorted(spans)), watermark=watermark)

    def _request(self, left: Sequence[Span], run_id: str) -> None:
        """Add backfill requests for the spans left to the backfill. A run that is retried adds none twice."""
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
        of_day = to_table(candle for candle in candles if kst_day(candle.start) == day)
        start, end = max(coverage.start, day_start(day)), min(coverage.end, day_end(day))
        with lease(self._lake, layout.day_folder(self._lake.root, "candle", day), self._clock, DAY_WAIT) as day_lease:
            held.renew()  # the wait for the day may have been long
            if repairs.candles or repairs.resolved:
                files.append(self._repair(day, repairs, coverage, day_lease))
            part = coverage.clipped(start, end) if start < end else None
            # A day that is over and about which the run knows nothing new has its holes in the lake already.
            if part and (part.known() or end == coverage.end):
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

    def _rescue(self, lost: Sequence[ledger.Unreadable], files: Sequence[Published], run_id: str) -> list[Published]:
        """Write a new snapshot of each day with an unreadable file that this run did not publish; what is readable
        goes into it.
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


class _State(NamedTuple):
    """What the lake knew before a run: watermark by market, rechecks, end (UTC) of the coverage, unreadable paths."""

    watermark: dict[str, datetime]
    rechecks: tuple[Recheck, ...]
    end: datetime
    unreadable: frozenset[str]

    @classmethod
    def of(cls, known: Coverage | None, end: datetime, queue: BackfillQueue, unreadable: frozenset[str]) -> _State:
        """The state by the newest live file's coverage; an empty lake (None) ends at `end` (UTC).

        `unreadable` are paths of newer files that cannot be read.
        """
        if known is None:
            return cls({}, (), end, unreadable)
        return cls(dict(known.watermark), still_waiting(known.rechecks or (), queue), known.end, unreadable)


class _Repairs(NamedTuple):
    """Candles that the lake lacks or holds with other values, and spans that were holes before this run."""

    candles: list[Candle]
    resolved: Sequence[Span]

    def of(self, day: str) -> _Repairs:
        """The part that lies in a KST day."""
        first, last = day_start(day), day_end(day)
        of_day = [candle for candle in self.candles if kst_day(candle.start) == day]
        return _Repairs(of_day, list(clip(self.resolved, first, last)))


class _RunResult(NamedTuple):
    """What a run fetched and published; `unknown` are markets that the exchange delisted during the run."""

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


def _failed_before(plan: FetchPlan, known: Coverage | None) -> frozenset[str]:
    """Markets of the plan whose requests failed in the run before."""
    if known is None:
        return frozenset()
    holes = {span.market for span in known.holes()}
    return frozenset(
        request.market for request in plan.requests if request.start < known.end and request.market in holes
    )


def _outage(results: Sequence[FetchResult]) -> str:
    """Why every request failed, "" when one succeeded; failures that concern single markets are no outage."""
    failures = [result.failure for result in results if result.failure]
    trouble = [failure for failure in failures if failure.reason.exchange_out or failure.reason is HoleReason.GARBLED]
    if not trouble or len(failures) < len(results):
        return ""
    reasons = ", ".join(f"{reason} {n}" for reason, n in Counter(f.reason.value for f in failures).most_common())
    return f"none of {len(results)} requests for candles was answered ({reasons}: {trouble[0].detail})"


def _summary(done: _RunResult, markets: int) -> Collected:
    holes = done.coverage.holes()
    for span in holes:
        level = logging.INFO if span.market in done.unknown else logging.WARNING
        log.log(level, "hole, requested again later: %s %s to %s: %s", span.market, span.start, span.end, span.why)
    added = tuple(sorted(done.added))
    if added:
        log.warning("the exchange's candles have new fields, which are not stored: %s", ", ".join(added))
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
