"""Reconciliation: compare every closed KST day with the exchange's own 60-minute candles, and repair what differs.

A request brings up to 200 hours, so the days of a batch share it. For hours that differ, the minutes are requested
again, a new snapshot of the day is published, and the hours are requested and compared once more; what still differs is
a discrepancy. Candles that the exchange does not have are removed only where its minutes agree with its own hours. Live
runs go first: no chunk begins while one is in progress.

Each hour and each day is reconciled by itself: one that cannot be now stays open with its reason, and is tried again
later (rechecks.py).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, cast

import pyarrow as pa
import pyarrow.compute as pc

from upbit_elt.candle import MINUTE, SCHEMA, day_end, day_start, from_table, to_table, wire
from upbit_elt.clock import Clock
from upbit_elt.collect.fetch import Failure, FetchResult, fetch
from upbit_elt.collect.plan import FetchRequest
from upbit_elt.errors import LeaseHeld
from upbit_elt.exchange.client import MAX_COUNT, UpbitClient
from upbit_elt.exchange.models import MinuteUnit
from upbit_elt.intervals import Interval, overlaps
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.isolation import isolated
from upbit_elt.lake.lease import Lease, is_held, lease
from upbit_elt.lake.publish import publish_snapshot
from upbit_elt.lake.read import read_sources
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality import backlog, rechecks, results
from upbit_elt.quality.day_reconciliation import NOT_YET, DayReconciliation, batches
from upbit_elt.quality.hours import HOUR
from upbit_elt.quality.rechecks import RECHECK_DAYS
from upbit_elt.quality.reconciled_day import ReconciledDay
from upbit_elt.settings import Settings

log = logging.getLogger(__name__)

# The hours that one request brings.
BATCH = MAX_COUNT * HOUR
# Requests in a chunk: 5 s at the exchange's limit.
CHUNK = 50
CHUNK_TIME = timedelta(seconds=10)
# After so many failures in a row for each worker, the exchange counts as out.
OUT = 2
# A proven day is not compared again, so the exchange has this long to publish what is late of its last minutes.
LATEST = timedelta(minutes=30)
_LOOK = 1.0  # seconds between two checks of a live run's lease


def wanted(lake: Lake, now: datetime, *, retry: bool = False) -> list[str]:
    """The closed KST days that are to be reconciled at `now` (UTC), newest first; none before it is over for LATEST.

    A day that is only partly reconciled, or has discrepancies, is due when its recheck is; one with discrepancies only
    for RECHECK_DAYS. Only days with a pending marker are checked. With `retry` every closed day that is not proven is
    due at once.
    """
    planned = rechecks.read(lake)
    noted = backlog.unproven(lake, now)
    found = []
    for day in sorted(ledger.days(lake, "candle") if retry else noted, reverse=True):
        if not retry and (
            now < day_end(day) + LATEST or rechecks.waits(planned.get(day), backlog.latest_snapshot(noted[day]), now)
        ):
            continue
        state, reconciled = results.state_of(lake, day)
        if state == "open":
            continue
        given_up = reconciled and reconciled.verdict == "findings" and now - day_end(day) > RECHECK_DAYS
        if (reconciled and reconciled.verdict == "proven") or (given_up and not retry):
            backlog.settle(lake, noted.get(day, ()))
        elif retry or rechecks.is_due(planned.get(day), reconciled, now):
            found.append(day)
    return found


class _Refetched(NamedTuple):
    """The minutes of differing hours, requested again.

    `missing` are the hours (start, UTC) without a result, by market, with the reason. `known` are the spans accounted
    for now, `replaced` those in which candles that the exchange does not have are removed. `tables` are the candles
    that the lake lacks or has with other values.
    """

    missing: dict[str, dict[datetime, str]]
    known: list[Span]
    replaced: list[Span]
    tables: list[pa.Table]


@dataclass(frozen=True)
class Reconciler:
    """Reconciles days of one lake, in chunks of `chunk` requests; `tick` is called after each page that arrives."""

    client: UpbitClient
    lake: Lake
    settings: Settings
    clock: Clock
    chunk: int = CHUNK
    tick: Callable[[], None] = lambda: None

    def run(
        self, run_id: str, days: Iterable[str], until: datetime, *, retry: bool = False, wait: timedelta = timedelta(0)
    ) -> list[ReconciledDay]:
        """Reconcile the closed ones of the KST days, newest first, as long as a chunk fits in before `until` (UTC).

        Hours that are reconciled already cost no request; with `retry` those with discrepancies are requested again. A
        market that cannot be reached stays open for a later run.

        Raises:
            LeaseHeld: another reconciliation holds the lease for longer than `wait`.
            LakeError: the lake cannot be read or written. Run it again.
        """
        done: list[ReconciledDay] = []
        folder = layout.kind_folder(self.lake.root, "reconciliation")
        with lease(self.lake, folder, self.clock, wait=wait) as held:
            run = _Run(self, run_id, until, held)
            for batch in batches(days, BATCH):
                if not run.may_go_on():
                    break
                reconciled = run.batch(batch, retry=retry)
                rechecks.plan(self.lake, reconciled, self.clock.now())
                done += reconciled
        return done


class _Run:
    """The work of one run of a reconciler: it fetches, repairs and publishes."""

    def __init__(self, reconciler: Reconciler, run_id: str, until: datetime, held: Lease) -> None:
        self._client, self._lake, self._clock = reconciler.client, reconciler.lake, reconciler.clock
        self._workers, self._chunk, self._tick = reconciler.settings.workers, reconciler.chunk, reconciler.tick
        self._run_id, self._until, self._held = run_id, until, held
        self._out: Failure | None = None

    def batch(self, names: Sequence[str], *, retry: bool) -> list[ReconciledDay]:
        """Reconcile the closed ones of these days, newest first; a day that fails stays as it is, the others go on."""
        live = ledger.live_coverage(self._lake)
        collected = live.watermark if live else {}
        troubles: dict[str, str] = {}
        days: list[DayReconciliation] = []
        for name in names:
            with isolated(self._lake, name, troubles):
                days += filter(None, [DayReconciliation.load(self._lake, name, collected, retry=retry)])
        todo = [day for day in days if day.todo()]
        markets = sorted({market for day in todo for market in day.todo()})
        span = (day_start(todo[-1].day), day_end(todo[0].day)) if todo else ()
        for result in self._fetched([FetchRequest(market, *span) for market in markets], unit=60):
            for day in todo:
                if result.request.market in day.todo():
                    with isolated(self._lake, day.day, troubles):
                        day.take_result(result, self._checked)
        reconciled = []
        for day in (day for day in days if day.day not in troubles):
            with isolated(self._lake, day.day, troubles):
                reconciled.append(self._publish(day, repaired=self._repair(day)))
        return reconciled + [ReconciledDay(name, "partial", trouble=words) for name, words in troubles.items()]

    def _repair(self, day: DayReconciliation) -> bool:
        """Request the minutes of all hours that differ, publish what is new in them, and compare the hours again."""
        found = self._refetched(day, requests := day.requests())
        if not requests or (found.tables and not self._publish_repair(day, found)):
            return False
        if found.tables:
            day.after_repair(self._lake)
        start, end = day_start(day.day), day_end(day.day)
        again = [
            FetchRequest(market, start, end)
            for market in day.differing
            if self._answered(day, market, found) and not day.agrees_now(market, self._checked)
        ]
        for result in self._fetched(again, unit=60):
            day.take_second_result(result, self._checked)
        return bool(found.tables)

    def _answered(self, day: DayReconciliation, market: str, found: _Refetched) -> bool:
        return day.unanswered(market, found.missing.get(market, {}), self._checked)

    def _refetched(self, day: DayReconciliation, requests: Sequence[FetchRequest]) -> _Refetched:
        """Request the minutes again, and sort the results hour by hour into what is missing and what is new."""
        ours = pa.concat_tables([SCHEMA.empty_table(), *(read_sources(self._lake, day.day)[0] if requests else [])])
        found = _Refetched({}, [], [], [])
        for request in requests:
            found.missing.setdefault(request.market, {}).update(
                dict.fromkeys(_hours(request), self._why_not_requested())
            )
        for result in self._fetched(requests, unit=1):
            missing = found.missing[result.request.market]
            if result.failure:
                missing |= dict.fromkeys(_hours(result.request), f"not repaired: {result.failure}")
                continue
            for hour in _hours(result.request):
                touching = [hole.why for hole in result.holes if overlaps(hole, Interval(hour, hour + HOUR))]
                if touching:
                    missing[hour] = f"not repaired: {touching[0]}"
                else:
                    del missing[hour]
                    self._sort_in(found, day, _of_hour(result, hour), ours)
        return found

    def _sort_in(self, found: _Refetched, day: DayReconciliation, result: FetchResult, ours: pa.Table) -> None:
        stored = _part(ours, result.request)
        stored_candles = set(from_table(stored))
        if day.confirms(result):
            found.known.extend(result.spans())
            found.replaced.extend(result.spans())
            if not stored.equals(theirs := to_table(result.candles)):
                found.tables.append(theirs)
        elif new := [candle for candle in result.candles if candle not in stored_candles]:
            found.known.extend(Span(c.market, c.start, c.start + MINUTE, "asked") for c in new)
            found.tables.append(to_table(new))

    def _publish_repair(self, day: DayReconciliation, found: _Refetched) -> bool:
        """Publish the repair; False when the day has changed since it was read, so that a later run reconciles it."""
        start, end = min(span.start for span in found.known), max(span.end for span in found.known)
        coverage = Coverage(start, end, self._run_id, tuple(sorted(found.known)))
        folder = layout.day_folder(self._lake.root, "candle", day.day)
        unchanged = False
        try:
            with lease(self._lake, folder, self._clock) as day_lease:
                current = ledger.current(self._lake, "candle", day.day)
                if unchanged := current is not None and current.path.endswith(f"/{day.snapshot}"):
                    table, gone = pa.concat_tables(found.tables), found.replaced
                    publish_snapshot(self._lake, day.day, table, coverage, day_lease, complete=True, replaces=gone)
        except LeaseHeld as busy:
            unchanged = False
            log.warning("%s: %s", day.day, busy)
        self._held.renew()  # the wait for the day may have been long
        done = "repaired" if unchanged else "left for a later run, as another process writes the day"
        log.warning("%s: %d hours differed from the exchange; %s", day.day, len(found.tables), done)
        return unchanged

    def _publish(self, day: DayReconciliation, *, repaired: bool) -> ReconciledDay:
        rows = tuple(day.market_results[market] for market in sorted(day.market_results))
        found = results.publish(self._lake, day.day, rows, day.snapshot, day.verdict, self._held) if rows else None
        reasons = day.left()
        left = {market: why or self._why_not_requested() or NOT_YET for market, why in reasons.items()}
        cut_short = self._out is None and "" in reasons.values()
        reconciled = ReconciledDay(day.day, day.verdict, found, rows, repaired, left, cut_short=cut_short)
        log.info("%s", reconciled)
        return reconciled

    def _fetched(self, requests: Sequence[FetchRequest], *, unit: MinuteUnit) -> Iterator[FetchResult]:
        """Fetch the results, in chunks; stops when the time is over, or when the exchange answers nothing at all."""
        for chunk in _chunks(requests, self._chunk, unit):
            if self._out or not self.may_go_on():
                return
            failed = 0
            fetched = fetch(self._client, chunk, workers=self._workers, tick=self._on_page, unit=unit)
            with closing(cast("Generator[FetchResult]", fetched)):
                for result in fetched:
                    yield result
                    failed = failed + 1 if result.failure and result.failure.reason.exchange_out else 0
                    if failed >= min(len(chunk), OUT * self._workers):
                        self._out = result.failure
                        break

    def _why_not_requested(self) -> str:
        """Why a request was not sent; "" when the run's time was over."""
        return f"not requested, as the exchange does not answer: {self._out}" if self._out else ""

    def _on_page(self) -> None:
        self._held.renew()
        self._tick()

    def may_go_on(self) -> bool:
        """Whether there is time for another chunk; waits while a live run is in progress."""
        live = layout.kind_folder(self._lake.root, "candle")
        while not self._out and self._clock.now() + CHUNK_TIME <= self._until:
            if not is_held(self._lake, live, self._clock):
                return True
            self._held.renew()
            self._clock.sleep(_LOOK)
        return False

    def _checked(self) -> str:
        return wire(self._client.server_time)


def _hours(request: FetchRequest) -> list[datetime]:
    """The starts (UTC) of the hours of a request that covers whole hours."""
    return [request.start + number * HOUR for number in range(int((request.end - request.start) / HOUR))]


def _of_hour(result: FetchResult, hour: datetime) -> FetchResult:
    """The part of a result within the hour that starts at `hour` (UTC)."""
    inside = tuple(candle for candle in result.candles if hour <= candle.start < hour + HOUR)
    return FetchResult(
        FetchRequest(result.request.market, hour, hour + HOUR), candles=inside, nothing_older=result.nothing_older
    )


def _part(table: pa.Table, request: FetchRequest) -> pa.Table:
    """The candles of a request's span, sorted by time; a candle that is there twice stays so."""
    moment = pc.field("candle_date_time_utc")
    inside = (pc.field("market") == request.market) & (moment >= wire(request.start)) & (moment < wire(request.end))
    return table.filter(inside).sort_by("candle_date_time_utc")


def _chunks(requests: Sequence[FetchRequest], most: int, unit: MinuteUnit) -> Iterator[list[FetchRequest]]:
    """Group requests into chunks of about `most` pages, for candles of `unit` minutes."""
    group: list[FetchRequest] = []
    cost = 0
    for request in requests:
        group.append(request)
        cost += math.ceil((request.end - request.start) / (unit * MAX_COUNT * MINUTE))
        if cost >= most:
            yield group
            group, cost = [], 0
    if group:
        yield group
