"""A small exchange with a hand-turned clock, and a lake and warehouse of its own, in memory or on the real daemons."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests

from tests.support.audit import Audit, audits, in_hive
from tests.support.clock import ManualClock
from tests.support.edges import Edge
from tests.support.exchange import NOT_FOUND, Reply, WsgiAdapter, headers_at, session_on
from upbit_elt.backfill.old_files import Adopted
from upbit_elt.backfill.planner import History, Progress
from upbit_elt.backfill.time_budget import TimeBudget
from upbit_elt.backfill.worker import CHUNK, Tools, WorkProgress
from upbit_elt.candle import Candle, day_end, to_table
from upbit_elt.collect.collector import Collected, Collector
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.limits import AddressLimits
from upbit_elt.flows import min_candle, prove_day
from upbit_elt.flows.backfill_candle import adopt_in
from upbit_elt.lake import layout
from upbit_elt.lake.backfill_queue import BackfillQueue, Request, make_request
from upbit_elt.lake.coverage import Coverage
from upbit_elt.lake.lease import lease
from upbit_elt.lake.publish import publish_snapshot
from upbit_elt.quality.compare import Comparison, accounted, compare
from upbit_elt.quality.reconcile import CHUNK as PROVE_CHUNK
from upbit_elt.quality.reconcile import Prover
from upbit_elt.quality.reconciled_day import ReconciledDay
from upbit_elt.replica import SyntheticSource, create_replica, inject, truth

# A request takes this long on the hand-turned clock, so that the replica's own limit is never met.
TRAVEL = 0.11
TIMEOUT = 10.0  # seconds of the hand-turned clock after which a client gives up
Spoil = Callable[[str, dict[str, str]], Reply | None]


class Wire(WsgiAdapter):
    """The way to the replica; `spoil` may answer in its place."""

    def __init__(self, app: Any, clock: ManualClock) -> None:
        super().__init__(app)
        self.app = app
        self._clock = clock
        self.spoil: Spoil = lambda path, query: None

    def _ask(self, path: str, query: dict[str, str]) -> Reply:
        began = self._clock.now()
        self._clock.sleep(TRAVEL)
        reply = self.spoil(path, query) or super()._ask(path, query)
        if (self._clock.now() - began).total_seconds() > TIMEOUT:
            raise requests.ReadTimeout("no answer in time, by the hand-turned clock")
        return reply

    def candle_requests(self) -> list[str]:
        return [str(request.url) for request in self.requests if "/candles/" in str(request.url)]


class World:
    """Everything between the exchange and Hive, at a moment that the test sets."""

    def __init__(self, edge: Edge, state: Path, now: datetime, markets: int = 8, **changes: Any) -> None:
        self.clock = ManualClock(now)
        dataset = f"replica_{uuid4().hex[:12]}"
        self.settings = edge.settings.model_copy(update={"dataset": dataset, "workers": 2, **changes})
        self.source = SyntheticSource(seed=7, markets=markets)
        app = create_replica(self.source, self.clock)
        self.faults = inject(app, self.clock, 0, {}, pause=self.clock.sleep)
        self.wire = Wire(app, self.clock)
        limits = AddressLimits(state, 1000, self.clock)
        self.client = UpbitClient("http://exchange", limits, self.clock, session=session_on(self.wire))
        self.lake, self.hive = edge.open(self.settings, self.clock)

    @property
    def markets(self) -> list[str]:
        return sorted(market.code for market in self.source.markets() if market.listed <= self.clock.now())

    def collect(self, now: datetime | None = None, run_id: str = "test") -> Collected:
        """One live run, shown in Hive."""
        if now:
            self.clock.set(now)
        collected = Collector(self.client, self.lake, self.settings, self.clock).run(run_id)
        self.on_published(*(published.day for published in collected.files))
        return collected

    def fill_history(self, until: datetime, chunk: int = CHUNK, *, patient: bool = True) -> Progress:
        """One run of the history, shown in Hive; `patient` waits for live runs to end."""
        return self.history(chunk).run("test", TimeBudget(self.lake, self.clock, until, patient=patient))

    def request(self, start: datetime, end: datetime, *markets: str) -> Request:
        """Ask for history, as a user would."""
        return BackfillQueue(self.lake).add(make_request(start, end, markets, self.clock.now(), uuid4().hex))

    def work_off(self, request: Request, until: datetime | None = None, chunk: int = CHUNK) -> Request | None:
        """Work on a request until it is done."""
        time_budget = TimeBudget(self.lake, self.clock, until, patient=True)
        return self.history(chunk).work("test", request, time_budget)

    def history(
        self, chunk: int = CHUNK, on_progress: Callable[[WorkProgress], object] = lambda progress: None
    ) -> History:
        """The history job of this world."""

        return History(Tools(self.client, self.lake, self.settings, self.clock, self.on_published, on_progress, chunk))

    def on_published(self, *days: str) -> None:
        """Let Hive show what the lake holds of KST days."""
        min_candle.register_in(self.hive, self.lake, self.settings, days)

    def adopt(self, folder: Path) -> Adopted:
        """Take over a folder of the old pipeline's files, shown in Hive."""
        return adopt_in(self.hive, self.lake, self.settings, self.clock, folder)

    def close_day(self, day: str) -> None:
        """Make the day's live files one complete snapshot, shown in Hive."""
        nothing_new = Coverage(day_end(day), day_end(day), "close")
        with lease(self.lake, layout.day_folder(self.lake.root, "candle", day), self.clock) as held:
            publish_snapshot(self.lake, day, to_table([]), nothing_new, held, complete=True)
        self.on_published(day)

    def prove(
        self, days: Iterable[str], *, retry: bool = False, seconds: float = 3600, chunk: int = PROVE_CHUNK
    ) -> list[ReconciledDay]:
        """One run of reconciliation, shown in Hive."""
        until = self.clock.now() + timedelta(seconds=seconds)
        prover = Prover(self.client, self.lake, self.settings, self.clock, chunk=chunk)
        reconciled = prover.run("prove", days, until, retry=retry)
        prove_day.register_in(self.hive, self.lake, self.settings, reconciled)
        return reconciled

    def compare(self, start: datetime, end: datetime) -> Comparison:
        """Hive against the exchange for what the lake claims to know of [start, end); nobody switches meanwhile."""
        return compare(self.hive, self.client, self.settings, accounted(self.lake, start, end), patience=0)

    def in_hive(self, start: datetime, end: datetime) -> list[Candle]:
        """Rows of the table over all days with a start in [start, end), sorted."""
        return in_hive(self.hive, self.settings, start, end)

    def audits(self, start: datetime, end: datetime) -> dict[str, Audit]:
        """Lake and Hive against what the exchange holds of [start, end)."""
        return audits(self.lake, self.hive, self.settings, self.truth(start, end), (start, end))

    def truth(self, start: datetime, end: datetime) -> list[Candle]:
        """What the exchange holds of [start, end), sorted."""
        rows = [c for market in self.markets for c in truth(self.source, market, start, end)]
        return sorted(rows, key=_key)

    def busiest(self, start: datetime, end: datetime) -> str:
        """The market with the most candles in [start, end): one that a run surely asks."""
        traded = [candle.market for candle in self.truth(start, end)]
        return max(self.markets, key=traded.count)

    def close(self) -> None:
        """Drop what the test made."""
        self.client.close()
        for database in (self.settings.database, self.settings.bi_database):
            self.hive.execute(f"DROP DATABASE IF EXISTS {database} CASCADE")
        self.lake.delete(self.lake.root)


def with_ticker(app: Any, market: str, **changes: Any) -> Spoil:
    """Answers ticker/all with one market's row changed."""

    def spoil(path: str, query: dict[str, str]) -> Reply | None:
        if path != "/v1/ticker/all":
            return None
        answer = app.test_client().get(path, query_string=query)
        rows = [row | (changes if row["market"] == market else {}) for row in answer.get_json()]
        return answer.status_code, json.dumps(rows), dict(answer.headers)

    return spoil


def without(world: World, market: str) -> Spoil:
    """Answers as an exchange that has delisted a market."""

    def spoil(path: str, query: dict[str, str]) -> Reply | None:
        if query.get("market") == market:
            return 404, NOT_FOUND, headers_at(world.clock.now())
        if path != "/v1/market/all":
            return None
        answer = world.wire.app.test_client().get(path, query_string=query)
        rows = [row for row in answer.get_json() if row["market"] != market]
        return answer.status_code, json.dumps(rows), dict(answer.headers)

    return spoil


def _key(candle: Candle) -> tuple[str, str]:
    return candle.market, candle.candle_date_time_utc
