"""The backfill's work, chunk by chunk: fetch, stage, and publish each day that is accounted for.

A process that is killed loses one chunk at most.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from upbit_elt.backfill.history_start import HistoryStart
from upbit_elt.backfill.staging import BackfillDay, pages_of
from upbit_elt.backfill.time_budget import TimeBudget
from upbit_elt.candle import MINUTE, day_end, day_span, day_start, minute_count
from upbit_elt.clock import Clock
from upbit_elt.collect.fetch import Failure, FetchResult, fetch
from upbit_elt.collect.plan import FetchRequest, closed_until
from upbit_elt.errors import ConfigError, LakeConflict, LeaseHeld
from upbit_elt.exchange.client import MAX_COUNT, UpbitClient
from upbit_elt.exchange.models import Market
from upbit_elt.intervals import Interval, intersection, pages
from upbit_elt.lake import completeness, ledger
from upbit_elt.lake.backfill_queue import request_lost_files
from upbit_elt.lake.coverage import Coverage
from upbit_elt.lake.isolation import isolated
from upbit_elt.lake.lease import Lease
from upbit_elt.lake.publish import Published
from upbit_elt.lake.quarantine import quarantine
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings

log = logging.getLogger(__name__)

# Requests in a chunk: 30 s at the exchange's limit. Days in a chunk: their spans are held in memory.
CHUNK, MOST_DAYS = 300, 31
# Longest span of one request, seven pages: little is in progress when a live run begins.
PIECE = 7 * MAX_COUNT * MINUTE
# The share of the markets that may be unreachable when a day is published.
FEW_MISSING = 0.1


@dataclass
class WorkProgress:
    """How far a run is: candles fetched, and `done` of `total` market-minutes accounted for."""

    total: int = 0
    done: int = 0
    candles: int = 0


@dataclass(frozen=True)
class Scope:
    """What to account for: the minutes of [start, end) (UTC) of `markets`, of all collected ones when empty.

    `days` are the KST days to work through, newest first. With `give_up` an unreachable market becomes a hole with its
    reason; else its day stays open. `on_saved` is called after each chunk with the days to do and the days that stay
    open; when it returns False, the work ends.
    """

    days: tuple[str, ...]
    start: datetime
    end: datetime
    markets: tuple[str, ...] = ()
    give_up: bool = False
    on_saved: Callable[[list[str], list[str]], bool] = lambda todo, left: True

    def minutes(self, day: str) -> int:
        """How many minutes of the KST day lie within the span."""
        return minute_count(intersection(self, day_span(day)))


@dataclass
class _Work:
    """A day in a chunk and its requests.

    `more`: the day needs more requests than fit into the chunk. `open` counts the requests without a result. `left`:
    the day is not finished with this run.
    """

    day: BackfillDay
    requests: list[FetchRequest]
    more: bool
    open: int = 0
    failed: list[FetchResult] = field(default_factory=list)
    finished: bool = False
    left: bool = False

    @property
    def answered(self) -> bool:
        return not (self.open or self.more or self.finished)


@dataclass
class Worker:
    """Does the work of one run, in chunks of at most `chunk` requests. The caller holds the backfill's lease, `held`.

    `on_published` is called with each KST day that is published, `on_progress` after every result. `troubles` are the
    days that could not be read or written, each with the error's words; the other days go on. `out` says why all
    requests of the last chunk failed, "" when they did not.
    """

    client: UpbitClient
    lake: Lake
    settings: Settings
    clock: Clock
    run_id: str
    time_budget: TimeBudget
    held: Lease
    on_published: Callable[[str], object]
    on_progress: Callable[[WorkProgress], object]
    chunk: int

    def __post_init__(self) -> None:
        """Begin with nothing done."""
        self.history_start = HistoryStart(self.client)
        self.published: list[Published] = []
        self.troubles: dict[str, str] = {}
        self.out = ""
        self.progress = WorkProgress()
        self._unreachable: set[str] = set()
        self._listed: list[Market] | None = None
        self._live: Coverage | None = None
        self._ends: dict[str, datetime] = {}
        self._open_minutes: dict[str, int] = {}

    def work_through(self, scope: Scope) -> tuple[list[str], list[str]]:
        """Account for the scope until the time budget is used up.

        Returns the days not worked through, and the days that stay open: a market was unreachable, or they failed.

        Raises:
            ExchangeError: market/all fails.
            LakeError: HDFS does not answer; staged candles stay.
        """
        self._unreachable.clear()
        self._open_minutes.clear()
        for day in scope.days:
            self.troubles.pop(day, None)
        todo, left = deque(scope.days), list[str]()
        while todo and self.time_budget.await_time():
            self._refresh_bounds(scope)
            if self.history_start.all_before(self._ends, day_end(todo[0])):
                todo.clear()
            chunk = self._chunk(todo, scope)
            for day in [day for day in todo if day in self.troubles]:  # they could not be read
                todo.remove(day)
                left.append(day)
            self._fetch(chunk, scope)
            for work in (work for work in chunk if work.finished):
                todo.remove(work.day.day)
                left += [work.day.day] if work.left else []
            self._count(scope, todo)
            if not scope.on_saved(list(todo), left) or (self.out and not self.time_budget.rest()):
                break
        return list(todo), left

    def set_total(self, scope: Scope, days: Iterable[str]) -> None:
        """Set the progress's total to all of `days`; those that the scope does not name count as done."""
        self._refresh_bounds(scope)
        markets = len(self._ends)
        self.progress.total = markets * sum(map(scope.minutes, days))
        self.progress.done = self.progress.total - markets * sum(map(scope.minutes, scope.days))

    def _refresh_bounds(self, scope: Scope) -> None:
        """Read the live coverage, and set the end (UTC) up to which each market may be requested.

        Later minutes belong to the live runs.
        """
        self._live = ledger.live_coverage(self.lake)
        self.time_budget.set_live_end(self._live.end if self._live else None)
        watermark = self._live.watermark if self._live else {}
        names = scope.markets or watermark or [m.market for m in self._markets() if m.quote in self.settings.quotes]
        if not names:
            raise ConfigError(f"the exchange lists no market quoted in {', '.join(self.settings.quotes)}")
        collected = names if not scope.markets else completeness.listed(self._live) if self._live else set()
        self._ends = {
            name: min(scope.end, watermark[name] if name in watermark and name in collected else self._reach())
            for name in names
        }

    def _reach(self) -> datetime:
        """The minute (UTC) up to which a market may be requested that live runs do not collect."""
        return self._live.end if self._live and self.time_budget.live_runs() else self._closed()

    def _chunk(self, todo: Iterable[str], scope: Scope) -> list[_Work]:
        seconds = min(self.time_budget.seconds_left(), float(self.chunk))
        room = min(self.chunk, max(1, int(seconds * self.settings.requests_per_second)))
        chunk: list[_Work] = []
        for name in todo:
            self.held.renew()
            work: _Work | None = None
            with isolated(self.lake, name, self.troubles):
                work = self._load(name, scope, room, first=not chunk)
            if work is None:
                continue
            chunk.append(work)
            room -= sum(map(pages_of, work.requests))
            if work.more or room <= 0 or len(chunk) == MOST_DAYS:
                break
        return chunk

    def _load(self, name: str, scope: Scope, room: int, *, first: bool) -> _Work:
        day = BackfillDay(self.lake, name)
        missing = [request for request in self._missing(day, scope) if request.market not in self._unreachable]
        self._open_minutes[name] = sum(map(minute_count, missing))
        requests: list[FetchRequest] = []
        for request in missing:
            room -= pages_of(request)
            if room < 0 and (requests or not first):
                break
            requests.append(request)
        return _Work(day, requests, more=len(requests) < len(missing))

    def _missing(self, day: BackfillDay, scope: Scope) -> list[FetchRequest]:
        """The day's missing spans that need a request; those without a candle by the history start are added."""
        missing = []
        for request in day.missing(self._ends, scope.start):
            span = self.history_start.known(request)
            if span:
                day.add([span])
            else:
                missing.append(request)
        return missing

    def _fetch(self, chunk: list[_Work], scope: Scope) -> None:
        owners = _pieces(chunk)
        for work in (work for work in chunk if work.answered):
            self._finish(work, scope)
        failures: list[Failure | None] = []
        results = fetch(self.client, list(owners), workers=self.settings.workers, tick=self.held.renew)
        with closing(cast("Generator[FetchResult]", results)):
            for result in results:
                failures.append(result.failure)
                self._take_result(owners.pop(result.request), result, scope)
                if self.time_budget.must_stop() or (not result.candles and all(map(self.history_start.known, owners))):
                    break
        out = bool(failures) and all(failure and failure.reason.exchange_out for failure in failures)
        self.out = str(failures[-1]) if out else ""
        if out:
            self._unreachable.clear()
        for work in (work for work in chunk if not work.finished):
            if work.answered and not self.out:
                self._finish(work, scope)
            else:
                work.day.stage(self.run_id)

    def _take_result(self, works: list[_Work], result: FetchResult, scope: Scope) -> None:
        request = result.request
        self.history_start.observe(result)
        lost = result.failure is not None and not result.delisted
        if result.failure:
            log.warning("history of %s, %s: %s", works[0].day.day, request.market, result.failure)
        if lost:
            self._unreachable.add(request.market)
        self.progress.candles += len(result.candles)
        known = None if result.candles else self.history_start.known(request)
        spans = [known] if known else result.spans()
        quarantine(self.lake, result.quarantined, self.run_id)
        for work in works:
            if lost:
                work.failed.append(result)
            else:
                work.day.add(spans, result.candles)
            minutes = minute_count(work.day.part(request))
            self.progress.done += minutes
            self._open_minutes[work.day.day] -= minutes
            work.open -= 1
            if work.answered and not work.failed:
                self._finish(work, scope)
        self.on_progress(self.progress)

    def _finish(self, work: _Work, scope: Scope) -> None:
        """Publish a day that is accounted for; a few unreachable markets do not delay it and are requested again."""
        day, work.finished = work.day, True
        with isolated(self.lake, day.day, self.troubles):
            self._publish_or_stage(work, scope)
        if day.day in self.troubles:
            work.left = True
            with isolated(self.lake, day.day, self.troubles):
                day.stage(self.run_id)

    def _publish_or_stage(self, work: _Work, scope: Scope) -> None:
        day = work.day
        for result in work.failed if scope.give_up else ():
            day.add(result.spans())
        out = {request.market for request in day.missing(self._ends, scope.start)}
        work.left = bool(out)
        if out and not scope.give_up and len(out) > FEW_MISSING * len(self._ends):
            day.stage(self.run_id)
            return
        if day.news:
            self._publish(day)
            self.on_published(day.day)
        else:
            day.discard()  # a run died right after publishing

    def _publish(self, day: BackfillDay) -> None:
        try:
            published = day.publish(self.run_id, self.clock, complete=self._is_complete(day))
        except LeaseHeld as busy:
            self.held.check()  # raises when the backfill's own lease was lost
            raise LakeConflict(str(busy)) from busy
        self.published.append(published)
        request_lost_files(self.lake, [published], self.clock.now(), self.run_id)
        log.info("history of %s: %d candles in %s", day.day, published.rows, published.folder)

    def _is_complete(self, day: BackfillDay) -> bool:
        """Whether live runs are past the day and nearly all collected markets are accounted for."""
        if day.complete:
            return True
        end = day_end(day.day)
        if self._live is None:
            watermark = {m.market: self._closed() for m in self._markets() if m.quote in self.settings.quotes}
            active = set(watermark)
        else:
            watermark, active = dict(self._live.watermark), completeness.listed(self._live)
        if any(watermark[market] < end for market in active):
            return False
        return len({request.market for request in day.missing(watermark, day_start(day.day))}) <= FEW_MISSING * len(
            watermark
        )

    def _count(self, scope: Scope, todo: Iterable[str]) -> None:
        """Update the progress: market-minutes of the scope accounted for; a day not read yet counts as open."""
        markets = len(self._ends)
        missing = sum(min(self._open_minutes.get(day, 1 << 30), markets * scope.minutes(day)) for day in todo)
        self.progress.done = self.progress.total - missing
        self.on_progress(self.progress)

    def _markets(self) -> list[Market]:
        if self._listed is None:
            self._listed = self.client.markets()
        return self._listed

    def _closed(self) -> datetime:
        self._markets()
        return closed_until(self.client.server_time)


def _pieces(chunk: Iterable[_Work]) -> dict[FetchRequest, list[_Work]]:
    """The requests of a chunk, newest first, with the days that each concerns.

    Requests of a market for neighbouring days are joined and cut into whole pages: one by one, the last page of each
    day would bring 40 candles instead of 200.
    """
    rows: dict[str, list[tuple[datetime, datetime, list[_Work]]]] = {}
    for work in chunk:  # newest day first
        for market, start, end in (request[:3] for request in reversed(work.requests)):
            row = rows.setdefault(market, [])
            if row and row[-1][0] == end:
                row[-1] = start, row[-1][1], [*row[-1][2], work]
            else:
                row.append((start, end, [work]))
    found: dict[FetchRequest, list[_Work]] = {}
    for market, row in rows.items():
        for start, end, works in row:
            span = Interval(start, end)
            for piece in pages(span, PIECE) if len(works) > 1 else [span]:
                found[FetchRequest(market, *piece)] = [work for work in works if work.day.part(piece)]
    for works in found.values():
        for work in works:
            work.open += 1
    return {request: found[request] for request in sorted(found, key=lambda request: request.end, reverse=True)}
