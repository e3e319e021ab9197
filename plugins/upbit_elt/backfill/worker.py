"""The work on history, chunk by chunk: ask, stage, publish what is whole. A kill costs a chunk at most."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from upbit_elt.backfill.history_start import HistoryStart
from upbit_elt.backfill.staging import Day, requests_of
from upbit_elt.backfill.time_budget import TimeBudget
from upbit_elt.candle import MINUTE, day_end, day_start
from upbit_elt.clock import Clock
from upbit_elt.collect.fetch import Failure, FetchResult, fetch
from upbit_elt.collect.plan import FetchRequest, closed_until
from upbit_elt.errors import ConfigError, LakeConflict, LeaseHeld
from upbit_elt.exchange.client import MAX_COUNT, UpbitClient
from upbit_elt.exchange.models import Market
from upbit_elt.intervals import Interval, pages
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

# Requests a chunk: 30 s at the exchange's limit. Days a chunk: what is known of them is in memory.
CHUNK, MOST_DAYS = 300, 31
# Seven pages: what may be under way when a live run begins is short.
PIECE = 7 * MAX_COUNT * MINUTE
# Part of the markets that may be out of reach when a day is shown.
FEW_MISSING = 0.1


@dataclass
class WorkProgress:
    """How far a run is: candles, and market-minutes accounted for, of `total`."""

    total: int = 0
    done: int = 0
    candles: int = 0


@dataclass(frozen=True)
class Tools:
    """What the work is done with. `show` is called for each KST day published, `tell` with how far the work is."""

    client: UpbitClient
    lake: Lake
    settings: Settings
    clock: Clock
    on_published: Callable[[str], object] = lambda day: None
    on_progress: Callable[[WorkProgress], object] = lambda progress: None
    chunk: int = CHUNK


@dataclass(frozen=True)
class Scope:
    """What to account for: the minutes of [start, end) (UTC) of `markets`, or of all that are collected.

    `days` are the KST days to go through, newest first. With `give_up` a market that is out of reach becomes a hole
    with its reason; else its day stays open. `keep` is told which days are to do and which stay open; False ends the
    work.
    """

    days: tuple[str, ...]
    start: datetime
    end: datetime
    markets: tuple[str, ...] = ()
    give_up: bool = False
    on_saved: Callable[[list[str], list[str]], bool] = lambda todo, left: True

    def minutes(self, day: str) -> int:
        """Minutes of the day that lie within the span."""
        return int((min(self.end, day_end(day)) - max(self.start, day_start(day))) / MINUTE)


@dataclass
class _Work:
    """A day in a chunk: its asks, how many have no answer yet, and whether there are more than fit."""

    day: Day
    requests: list[FetchRequest]
    more: bool
    open: int = 0
    failed: list[FetchResult] = field(default_factory=list)
    finished: bool = False
    left: bool = False

    @property
    def answered(self) -> bool:
        return not (self.open or self.more or self.finished)


class Worker:
    """One run's work. The caller holds the lease of the backfill.

    `troubles` are the days that could not be read or written, each with what is wrong; the others go on. `out` is why
    the exchange gave nothing at all when it was asked last.
    """

    def __init__(self, tools: Tools, run_id: str, time_budget: TimeBudget, held: Lease) -> None:
        self._tools, self._run_id, self._turns, self._held = tools, run_id, time_budget, held
        self._lake = tools.lake
        self._unreachable: set[str] = set()
        self.out = ""
        self._listed: list[Market] | None = None
        self._live: Coverage | None = None
        self._ends: dict[str, datetime] = {}
        self._open_minutes: dict[str, int] = {}
        self.history_start = HistoryStart(tools.client)
        self.published: list[Published] = []
        self.troubles: dict[str, str] = {}
        self.progress = WorkProgress()

    def work_through(self, scope: Scope) -> tuple[list[str], list[str]]:
        """Account for the scope as long as there are turns: (days not gone through, days with a market out of reach or
        in trouble).

        Raises:
            ExchangeError: the exchange does not say what it lists.
            LakeError: HDFS does not answer; what was staged stays.
        """
        self._unreachable.clear()
        self._open_minutes.clear()
        for day in scope.days:
            self.troubles.pop(day, None)
        todo, left = deque(scope.days), list[str]()
        while todo and self._turns.await_time():
            self._refresh_bounds(scope)
            if self.history_start.all_before(self._ends, day_end(todo[0])):
                todo.clear()
            chunk = self._chunk(todo, scope)
            for day in [day for day in todo if day in self.troubles]:  # could not be read
                todo.remove(day)
                left.append(day)
            self._fetch(chunk, scope)
            for work in (work for work in chunk if work.finished):
                todo.remove(work.day.day)
                left += [work.day.day] if work.left else []
            self._count(scope, todo)
            if not scope.on_saved(list(todo), left) or (self.out and not self._turns.rest()):
                break
        return list(todo), left

    def set_total(self, scope: Scope, days: Iterable[str]) -> None:
        """Let the tally count against all of `days`; those that the scope does not name were done before."""
        self._refresh_bounds(scope)
        markets = len(self._ends)
        self.progress.total = markets * sum(map(scope.minutes, days))
        self.progress.done = self.progress.total - markets * sum(map(scope.minutes, scope.days))

    def _refresh_bounds(self, scope: Scope) -> None:
        """How far the live runs are now, and up to where each market may be asked: what they will bring is theirs."""
        self._live = ledger.newest(self._lake)
        self._turns.set_live_end(self._live.end if self._live else None)
        watermark = self._live.watermark if self._live else {}
        names = (
            scope.markets or watermark or [m.market for m in self._markets() if m.quote in self._tools.settings.quotes]
        )
        if not names:
            raise ConfigError(f"the exchange lists no market quoted in {', '.join(self._tools.settings.quotes)}")
        mine = names if not scope.markets else completeness.listed(self._live) if self._live else set()
        self._ends = {
            name: min(scope.end, watermark[name] if name in watermark and name in mine else self._reach())
            for name in names
        }

    def _reach(self) -> datetime:
        """Up to where a market may be asked that live runs do not collect."""
        return self._live.end if self._live and self._turns.live_runs() else self._closed()

    def _chunk(self, todo: Iterable[str], scope: Scope) -> list[_Work]:
        seconds = min(self._turns.seconds_left(), float(self._tools.chunk))
        room = min(self._tools.chunk, max(1, int(seconds * self._tools.settings.requests_per_second)))
        chunk: list[_Work] = []
        for name in todo:
            self._held.renew()
            work: _Work | None = None
            with isolated(self._lake, name, self.troubles):
                work = self._load(name, scope, room, first=not chunk)
            if work is None:
                continue
            chunk.append(work)
            room -= sum(map(requests_of, work.requests))
            if work.more or room <= 0 or len(chunk) == MOST_DAYS:
                break
        return chunk

    def _load(self, name: str, scope: Scope, room: int, *, first: bool) -> _Work:
        day = Day(self._lake, name)
        missing = [request for request in self._missing(day, scope) if request.market not in self._unreachable]
        self._open_minutes[name] = sum(_minutes(request.start, request.end) for request in missing)
        requests: list[FetchRequest] = []
        for request in missing:
            room -= requests_of(request)
            if room < 0 and (requests or not first):
                break
            requests.append(request)
        return _Work(day, requests, more=len(requests) < len(missing))

    def _missing(self, day: Day, scope: Scope) -> list[FetchRequest]:
        """What only a request can tell; the rest is taken in."""
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
        results = fetch(self._tools.client, list(owners), workers=self._tools.settings.workers, tick=self._held.renew)
        with closing(cast("Generator[FetchResult]", results)):
            for result in results:
                failures.append(result.failure)
                self._take_result(owners.pop(result.request), result, scope)
                if self._turns.must_stop() or (not result.candles and all(map(self.history_start.known, owners))):
                    break
        out = bool(failures) and all(failure and failure.reason.exchange_out for failure in failures)
        self.out = str(failures[-1]) if out else ""
        if out:
            self._unreachable.clear()
        for work in (work for work in chunk if not work.finished):
            if work.answered and not self.out:
                self._finish(work, scope)
            else:
                work.day.stage(self._run_id)

    def _take_result(self, works: list[_Work], result: FetchResult, scope: Scope) -> None:
        request = result.request
        self.history_start.observe(result)
        lost = result.failure is not None and not result.final
        if result.failure:
            log.warning("history of %s, %s: %s", works[0].day.day, request.market, result.failure)
        if lost:
            self._unreachable.add(request.market)
        self.progress.candles += len(result.candles)
        known = None if result.candles else self.history_start.known(request)
        spans = [known] if known else result.spans()
        quarantine(self._lake, result.quarantined, self._run_id)
        for work in works:
            if lost:
                work.failed.append(result)
            else:
                work.day.add(spans, result.candles)
            minutes = _minutes(*work.day.part(request.start, request.end))
            self.progress.done += minutes
            self._open_minutes[work.day.day] -= minutes
            work.open -= 1
            if work.answered and not work.failed:
                self._finish(work, scope)
        self._tools.on_progress(self.progress)

    def _finish(self, work: _Work, scope: Scope) -> None:
        """Show a day that is accounted for. A few markets out of reach do not hold it back: they are asked again."""
        day, work.finished = work.day, True
        with isolated(self._lake, day.day, self.troubles):
            self._publish_or_stage(work, scope)
        if day.day in self.troubles:
            work.left = True
            with isolated(self._lake, day.day, self.troubles):
                day.stage(self._run_id)

    def _publish_or_stage(self, work: _Work, scope: Scope) -> None:
        day = work.day
        for result in work.failed if scope.give_up else ():
            day.add(result.spans())
        out = {request.market for request in day.missing(self._ends, scope.start)}
        work.left = bool(out)
        if out and not scope.give_up and len(out) > FEW_MISSING * len(self._ends):
            day.stage(self._run_id)
            return
        if day.news:
            self._publish(day)
            self._tools.on_published(day.day)
        else:
            day.discard()  # a run died right after publishing

    def _publish(self, day: Day) -> None:
        try:
            published = day.publish(self._run_id, self._tools.clock, complete=self._is_complete(day))
        except LeaseHeld as busy:
            self._held.check()  # of the backfill itself: nobody else is to blame then
            raise LakeConflict(str(busy)) from busy
        self.published.append(published)
        request_lost_files(self._lake, [published], self._tools.clock.now(), self._run_id)
        log.info("history of %s: %d candles in %s", day.day, published.rows, published.folder)

    def _is_complete(self, day: Day) -> bool:
        """Whether the day is over for live runs and (nearly) all markets that are collected are accounted for."""
        if day.complete:
            return True
        end = day_end(day.day)
        if self._live is None:
            watermark = {m.market: self._closed() for m in self._markets() if m.quote in self._tools.settings.quotes}
            active = set(watermark)
        else:
            watermark, active = dict(self._live.watermark), completeness.listed(self._live)
        if any(watermark[market] < end for market in active):
            return False
        return len({request.market for request in day.missing(watermark, day_start(day.day))}) <= FEW_MISSING * len(
            watermark
        )

    def _count(self, scope: Scope, todo: Iterable[str]) -> None:
        """Market-minutes of the scope that are accounted for; days that were not looked at yet are open."""
        markets = len(self._ends)
        still = sum(min(self._open_minutes.get(day, 1 << 30), markets * scope.minutes(day)) for day in todo)
        self.progress.done = self.progress.total - still
        self._tools.on_progress(self.progress)

    def _markets(self) -> list[Market]:
        if self._listed is None:
            self._listed = self._tools.client.markets()
        return self._listed

    def _closed(self) -> datetime:
        self._markets()
        return closed_until(self._tools.client.server_time)


def _minutes(start: datetime, end: datetime) -> int:
    return int((end - start) / MINUTE)


def _pieces(chunk: Iterable[_Work]) -> dict[FetchRequest, list[_Work]]:
    """The asks of a chunk, newest first, with the days that each concerns.

    A market's asks of neighbouring days become one, cut into whole pages: day by day, the last page of a day would
    bring 40 candles instead of 200.
    """
    rows: dict[str, list[tuple[datetime, datetime, list[_Work]]]] = {}
    for work in chunk:  # newest day first
        for market, start, end in (request[:3] for request in reversed(work.requests)):
            mine = rows.setdefault(market, [])
            if mine and mine[-1][0] == end:
                mine[-1] = start, mine[-1][1], [*mine[-1][2], work]
            else:
                mine.append((start, end, [work]))
    found: dict[FetchRequest, list[_Work]] = {}
    for market, row in rows.items():
        for start, end, works in row:
            for first, last in pages(Interval(start, end), PIECE) if len(works) > 1 else [(start, end)]:
                found[FetchRequest(market, first, last)] = [
                    work for work in works if _minutes(*work.day.part(first, last)) > 0
                ]
    for works in found.values():
        for work in works:
            work.open += 1
    return {request: found[request] for request in sorted(found, key=lambda request: request.end, reverse=True)}
