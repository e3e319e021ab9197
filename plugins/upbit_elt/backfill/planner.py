"""The backfill's plan: which days it fetches, newest first, in short chunks between the live runs.

There are two kinds of work: the days that every deployment gets (setting `history_days`), and backfill requests of
users. A day's candles wait in `_backfill/` until all its markets are accounted for; then one new snapshot of the day
publishes them together. The backfill requests only minutes before a market's watermark: later ones belong to live runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import NamedTuple

from upbit_elt.backfill.time_budget import TimeBudget
from upbit_elt.backfill.worker import CHUNK, Scope, Worker, WorkProgress
from upbit_elt.candle import day_end, day_start, days_between, kst_day
from upbit_elt.clock import Clock
from upbit_elt.errors import LakeCorrupt, LeaseHeld
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.backfill_queue import PASSES, BackfillQueue, Request, next_pass
from upbit_elt.lake.isolation import isolated
from upbit_elt.lake.lease import Lease, lease
from upbit_elt.lake.publish import Published
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings

# How long `work` waits for another backfill: a run in a DAG ends before the next live run.
WAIT = timedelta(minutes=3)


@dataclass(frozen=True)
class BackfillResult:
    """What a backfill run did: candles fetched, days published.

    `left` are KST days not finished, `requests` those still open. `busy`: another backfill holds the lease, so this run
    did nothing. `troubles` are the days and requests that failed, each with the error's words.
    """

    candles: int = 0
    published: tuple[Published, ...] = ()
    left: tuple[str, ...] = ()
    requests: tuple[Request, ...] = ()
    busy: bool = False
    troubles: Mapping[str, str] = field(default_factory=dict)


class CompleteHistory(NamedTuple):
    """The history that every deployment gets: KST days, newest first, of `markets` (a digest of their names).

    Once all of it is in the lake, a small file says so. Live runs account for all later minutes, so until the day, the
    setting or the markets change, no run needs to read the days again.
    """

    days: tuple[str, ...]
    markets: str

    @classmethod
    def of(cls, days: Iterable[str], markets: Iterable[str]) -> CompleteHistory:
        """The history of these KST days and markets."""
        return cls(tuple(days), hashlib.sha256(" ".join(sorted(markets)).encode()).hexdigest())

    def is_there(self, lake: Lake) -> bool:
        """Whether the lake notes that exactly this history is complete."""
        try:
            return lake.read(layout.complete_history_path(lake.root)) == self._document()
        except LakeCorrupt:  # nothing is noted
            return False

    def note(self, lake: Lake) -> None:
        """Note in the lake that all of this history is there."""
        lake.replace(layout.complete_history_path(lake.root), self._document())

    def _document(self) -> bytes:
        return json.dumps({"version": 1, "days": self.days, "markets": self.markets}).encode()


class Backfill:
    """Fills the days before the live runs, in chunks of at most `chunk` requests.

    `queue` holds the backfill requests of users. `on_published` is called with each KST day that is published,
    `on_progress` after every result.
    """

    def __init__(
        self,
        client: UpbitClient,
        lake: Lake,
        settings: Settings,
        clock: Clock,
        *,
        on_published: Callable[[str], object] = lambda day: None,
        on_progress: Callable[[WorkProgress], object] = lambda progress: None,
        chunk: int = CHUNK,
    ) -> None:
        self._client, self._lake, self._settings, self._clock = client, lake, settings, clock
        self._on_published, self._on_progress, self._chunk = on_published, on_progress, chunk
        self._root = layout.backfill_root(lake.root)
        self.queue = BackfillQueue(lake)

    def run(self, run_id: str, time_budget: TimeBudget) -> BackfillResult:
        """Work on the days of `history_days`, then on backfill requests, until the time budget is used up.

        When a market cannot be reached, its day stays open for a later run, and the other markets go on. When a day
        cannot be read or written, or a request fails, the other days and requests go on.

        Raises:
            LakeError, WarehouseError: HDFS or Hive do not answer; staged candles stay. Run it again.
        """
        wanted, troubles = None, dict[str, str]()
        with isolated(self._lake, "the wanted days", troubles):
            wanted = self._wanted()
        open_requests = self.queue.open()
        if not wanted and not open_requests:
            return BackfillResult(troubles=troubles)
        with ExitStack() as stack:
            try:
                held = stack.enter_context(lease(self._lake, self._root, self._clock, timedelta(0)))
            except LeaseHeld:
                return BackfillResult(requests=tuple(open_requests), busy=True)
            worker = self._worker(run_id, time_budget, held)
            left: list[str] = []
            with isolated(self._lake, "the wanted days", troubles):
                left = self._fill(worker, wanted) if wanted else []
            for request in self.queue.open():
                if time_budget.await_time():
                    with isolated(self._lake, request.id, troubles):
                        self._work(worker, request)
                    self._note(request.id, troubles.get(request.id, ""))
            return BackfillResult(
                candles=worker.progress.candles,
                published=tuple(worker.published),
                left=tuple(left),
                requests=tuple(self.queue.open()),
                troubles=troubles | worker.troubles,
            )

    def work(self, run_id: str, request: Request, time_budget: TimeBudget) -> Request | None:
        """Work on one request until it is done or the time budget is used up.

        Returns the request as it is afterwards; None when it was cancelled.

        Raises:
            LeaseHeld: another backfill has held the lease for WAIT.
            LakeError, ExchangeError: HDFS or the exchange do not answer; staged candles stay. Run it again.
        """
        found: Request | None = request
        with lease(self._lake, self._root, self._clock, WAIT) as held:
            worker = self._worker(run_id, time_budget, held)
            while found and not found.done and time_budget.await_time():
                found = self._work(worker, found)
                if found and found.at <= found.start and found.left and set(found.left) <= worker.troubles.keys():
                    break  # only days that failed are left; they need a person
        return found

    def wanted_days(self) -> list[str]:
        """Today and the `history_days` KST days before it, newest first."""
        now, back = self._clock.now(), self._settings.history_days
        return [kst_day(now - timedelta(days=days)) for days in range(back + 1)]

    def _worker(self, run_id: str, time_budget: TimeBudget, held: Lease) -> Worker:
        return Worker(
            self._client,
            self._lake,
            self._settings,
            self._clock,
            run_id,
            time_budget,
            held,
            self._on_published,
            self._on_progress,
            self._chunk,
        )

    def _wanted(self) -> CompleteHistory | None:
        """The history to fill now; None before the first live run, and when all of it is noted as there."""
        live = ledger.live_coverage(self._lake)
        if live is None:
            return None
        wanted = CompleteHistory.of(self.wanted_days(), live.watermark)
        return None if wanted.is_there(self._lake) else wanted

    def _fill(self, worker: Worker, wanted: CompleteHistory) -> list[str]:
        """Work through the wanted days; returns the KST days not finished."""
        days = wanted.days
        todo, left = worker.work_through(Scope(days, day_start(days[-1]), day_end(days[0])))
        if not todo and not left and not worker.troubles:
            wanted.note(self._lake)
        return [*left, *todo]

    def _work(self, worker: Worker, request: Request) -> Request | None:
        """Make one pass over a request's days; returns the request afterwards, None when it was cancelled meanwhile."""
        start = worker.progress.candles
        now = request

        def on_saved(todo: list[str], left: list[str]) -> bool:
            nonlocal now
            now = _advanced(request, todo, left, worker, worker.progress.candles - start)
            return self.queue.save(now)

        scope = Scope(
            tuple(request.days()), request.start, request.end, request.markets, _is_last_pass(request), on_saved
        )
        worker.history_start.nothing_before.update(request.nothing_before)
        worker.set_total(scope, days_between(request.start, request.end))
        todo, _ = worker.work_through(scope)
        moment = self._clock.now()
        if not todo:
            now = next_pass(now, now.left, moment)
        bad = [f"{day}: {worker.troubles[day]}" for day in now.left if day in worker.troubles]
        if bad:
            now = replace(now, done=None)
        trouble = "; ".join(bad[:1]) or (worker.out if todo else "")
        now = replace(now, trouble=trouble, troubled=moment if trouble else None)
        return now if self.queue.save(now) else None

    def _note(self, request_id: str, trouble: str) -> None:
        """Store with a request why it failed; the next run then works on the other requests first."""
        request = self.queue.find(request_id) if trouble else None
        if request:
            self.queue.save(replace(request, trouble=trouble, troubled=self._clock.now()))


def _is_last_pass(request: Request) -> bool:
    return request.passes + 1 >= PASSES


def _advanced(request: Request, todo: list[str], left: list[str], worker: Worker, candles: int) -> Request:
    again = request.at <= request.start
    days = {*todo, *left} if again else {*request.left, *left}
    at = request.start if again or not todo else min(request.at, day_end(todo[0]))
    bounds = worker.history_start.nothing_before
    own = {market: bounds[market] for market in sorted(bounds) if not request.markets or market in request.markets}
    return replace(request, at=at, left=tuple(sorted(days)), candles=request.candles + candles, nothing_before=own)
