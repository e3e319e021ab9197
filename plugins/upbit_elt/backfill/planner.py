"""Older history, newest day first, in short chunks between the live runs.

Two kinds of work: the days that every deployment wants (`history_days`), and what users asked for (requests). Candles
of a day wait in `_backfill/` until all its markets are accounted for; then one new snapshot of the day shows them at
once. Only minutes before a market's watermark are asked: those after it belong to live runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import NamedTuple

from upbit_elt.backfill.time_budget import TimeBudget
from upbit_elt.backfill.worker import Scope, Tools, Worker
from upbit_elt.candle import day_end, day_start, days_between, kst_day
from upbit_elt.errors import LakeCorrupt, LeaseHeld
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.backfill_queue import PASSES, BackfillQueue, Request, next_pass
from upbit_elt.lake.isolation import isolated
from upbit_elt.lake.lease import lease
from upbit_elt.lake.publish import Published
from upbit_elt.lake.webhdfs import Lake

# A run in a DAG ends before the next live run; whoever waits for it need not wait longer.
WAIT = timedelta(minutes=3)


@dataclass(frozen=True)
class Progress:
    """What a run of the history did. `left` days are not done, `requests` are open still; `busy`: another is at it.

    `troubles` are days and requests that cannot go on without a person, each with what is wrong.
    """

    candles: int = 0
    published: tuple[Published, ...] = ()
    left: tuple[str, ...] = ()
    requests: tuple[Request, ...] = ()
    busy: bool = False
    troubles: Mapping[str, str] = field(default_factory=dict)


class Wanted(NamedTuple):
    """The history that every deployment wants: KST days, newest first, of `markets` (a digest of their names).

    Once it is there, that is noted: live runs account for all that comes later, so nothing has to be looked at until
    the day, the setting or the markets change. The note says less than the lake, which is looked at each day anew.
    """

    days: tuple[str, ...]
    markets: str

    @classmethod
    def of(cls, days: Iterable[str], markets: Iterable[str]) -> Wanted:
        """The days of these markets."""
        return cls(tuple(days), hashlib.sha256(" ".join(sorted(markets)).encode()).hexdigest())

    def is_there(self, lake: Lake) -> bool:
        """Whether it is noted that just this is there."""
        try:
            return lake.read(layout.wanted_path(lake.root)) == self._document()
        except LakeCorrupt:  # nothing is noted
            return False

    def note(self, lake: Lake) -> None:
        """Note that all of it is there."""
        lake.replace(layout.wanted_path(lake.root), self._document())

    def _document(self) -> bytes:
        return json.dumps({"version": 1, "days": self.days, "markets": self.markets}).encode()


class History:
    """Fills the days before the live runs."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._root = layout.backfill_root(tools.lake.root)
        self.queue = BackfillQueue(tools.lake)

    def run(self, run_id: str, time_budget: TimeBudget) -> Progress:
        """Work on the wanted days, then on what users asked for, as long as there are turns.

        A market that cannot be reached now leaves its day open for a later run; the others go on. So they do when a
        day cannot be read or written, or a request fails.

        Raises:
            LakeError, WarehouseError: HDFS or Hive do not answer; what was staged stays. Run it again.
        """
        wanted, troubles = None, dict[str, str]()
        with isolated(self._tools.lake, "the wanted days", troubles):
            wanted = self._wanted()
        open_requests = self.queue.open()
        if not wanted and not open_requests:
            return Progress(troubles=troubles)
        with ExitStack() as stack:
            try:
                held = stack.enter_context(lease(self._tools.lake, self._root, self._tools.clock, timedelta(0)))
            except LeaseHeld:
                return Progress(requests=tuple(open_requests), busy=True)
            worker = Worker(self._tools, run_id, time_budget, held)
            left: list[str] = []
            with isolated(self._tools.lake, "the wanted days", troubles):
                left = self._fill(worker, wanted) if wanted else []
            for request in self.queue.open():
                if time_budget.await_time():
                    with isolated(self._tools.lake, request.id, troubles):
                        self._work(worker, request)
                    self._note(request.id, troubles.get(request.id, ""))
            return Progress(
                candles=worker.progress.candles,
                published=tuple(worker.published),
                left=tuple(left),
                requests=tuple(self.queue.open()),
                troubles=troubles | worker.troubles,
            )

    def work(self, run_id: str, request: Request, time_budget: TimeBudget) -> Request | None:
        """Work on one request until it is done or there are no more turns; what it is then, None when cancelled.

        Raises:
            LeaseHeld: another backfill is at work, and was so for WAIT.
            LakeError, ExchangeError: as `run`.
        """
        found: Request | None = request
        with lease(self._tools.lake, self._root, self._tools.clock, WAIT) as held:
            worker = Worker(self._tools, run_id, time_budget, held)
            while found and not found.done and time_budget.await_time():
                found = self._work(worker, found)
                if found and found.at <= found.start and found.left and set(found.left) <= worker.troubles.keys():
                    break  # nothing is left but what has to be mended first
        return found

    def wanted_days(self) -> list[str]:
        """Today and the KST days of the wanted history, newest first."""
        now, back = self._tools.clock.now(), self._tools.settings.history_days
        return [kst_day(now - timedelta(days=days)) for days in range(back + 1)]

    def _wanted(self) -> Wanted | None:
        """What is wanted now; None before the first live run, and when all of it was there once."""
        live = ledger.newest(self._tools.lake)
        if live is None:
            return None
        wanted = Wanted.of(self.wanted_days(), live.watermark)
        return None if wanted.is_there(self._tools.lake) else wanted

    def _fill(self, worker: Worker, wanted: Wanted) -> list[str]:
        """Go through the wanted days; those that are left."""
        days = wanted.days
        todo, left = worker.work_through(Scope(days, day_start(days[-1]), day_end(days[0])))
        if not todo and not left and not worker.troubles:
            wanted.note(self._tools.lake)
        return [*left, *todo]

    def _work(self, worker: Worker, request: Request) -> Request | None:
        """One pass over a request's days; None when it was cancelled meanwhile."""
        start = worker.progress.candles
        now = request

        def on_saved(todo: list[str], left: list[str]) -> bool:
            nonlocal now
            now = _advanced(request, todo, left, worker, worker.progress.candles - start)
            return self.queue.save(now)

        scope = Scope(tuple(request.days()), request.start, request.end, request.markets, _last(request), on_saved)
        worker.history_start.nothing_before.update(request.nothing_before)
        worker.set_total(scope, days_between(request.start, request.end))
        todo, _ = worker.work_through(scope)
        moment = self._tools.clock.now()
        if not todo:
            now = next_pass(now, now.left, moment)
        bad = [f"{day}: {worker.troubles[day]}" for day in now.left if day in worker.troubles]
        if bad:
            now = replace(now, done=None)
        trouble = "; ".join(bad[:1]) or (worker.out if todo else "")
        now = replace(now, trouble=trouble, troubled=moment if trouble else None)
        return now if self.queue.save(now) else None

    def _note(self, request_id: str, trouble: str) -> None:
        """Keep with a request why it failed: those behind it go first the next time."""
        request = self.queue.find(request_id) if trouble else None
        if request:
            self.queue.save(replace(request, trouble=trouble, troubled=self._tools.clock.now()))


def _last(request: Request) -> bool:
    return request.passes + 1 >= PASSES


def _advanced(request: Request, todo: list[str], left: list[str], worker: Worker, candles: int) -> Request:
    again = request.at <= request.start
    days = {*todo, *left} if again else {*request.left, *left}
    at = request.start if again or not todo else min(request.at, day_end(todo[0]))
    bounds = worker.history_start.nothing_before
    mine = {market: bounds[market] for market in sorted(bounds) if not request.markets or market in request.markets}
    return replace(request, at=at, left=tuple(sorted(days)), candles=request.candles + candles, nothing_before=mine)
