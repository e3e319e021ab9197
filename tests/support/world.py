"""A small exchange with a hand-turned clock, and a lake and warehouse of its own, in memory or on the real daemons."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests

from tests.support.audit import Audit, audits, in_hive, key
from tests.support.clock import ManualClock
from tests.support.edges import Edge
from tests.support.exchange import NOT_FOUND, Reply, WsgiAdapter, headers_at, session_on
from tests.support.hdfs import MemoryHdfs
from upbit_elt.backfill.old_files import Adopted
from upbit_elt.backfill.planner import Backfill, BackfillResult
from upbit_elt.backfill.time_budget import TimeBudget
from upbit_elt.backfill.worker import CHUNK, WorkProgress
from upbit_elt.candle import Candle, day_end, days_between, from_table, to_table
from upbit_elt.collect.collected import Collected
from upbit_elt.collect.collector import Collector
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.limits import AddressLimits
from upbit_elt.flows import min_candle, prove_day
from upbit_elt.flows.backfill_candle import adopt_in
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.backfill_queue import BackfillQueue, Request, make_request
from upbit_elt.lake.coverage import Coverage, Span, merge
from upbit_elt.lake.lease import lease
from upbit_elt.lake.publish import publish_snapshot
from upbit_elt.lake.read import read_day, read_sources
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality.compare import Comparison, accounted, compare
from upbit_elt.quality.reconcile import CHUNK as PROVE_CHUNK
from upbit_elt.quality.reconcile import Reconciler
from upbit_elt.quality.reconciled_day import ReconciledDay
from upbit_elt.replica import SyntheticSource, create_replica, inject, truth
from upbit_elt.settings import Settings

# A request takes this long on the hand-turned clock, so that the replica's own limit is never met.
TRAVEL = 0.11
TIMEOUT = 10.0  # seconds of the hand-turned clock after which a client gives up
Spoil = Callable[[str, dict[str, str]], Reply | None]
Row = dict[str, Any]


class Wire(WsgiAdapter):
    """The way to the replica; `spoil` may answer in its place."""

    def __init__(self, app: Any, clock: ManualClock) -> None:
        super().__init__(app)
        self.app = app
        self._clock = clock
        self.spoil: Spoil = lambda path, query: None

    def _reply(self, path: str, query: dict[str, str]) -> Reply:
        began = self._clock.now()
        self._clock.sleep(TRAVEL)
        reply = self.spoil(path, query) or super()._reply(path, query)
        if (self._clock.now() - began).total_seconds() > TIMEOUT:
            raise requests.ReadTimeout("no answer in time, by the hand-turned clock")
        return reply

    def candle_requests(self) -> list[str]:
        return [str(request.url) for request in self.requests if "/candles/" in str(request.url)]


class LakeWorld:
    """Everything between the exchange and the lake, at a moment that the test sets; `wire.spoil` may answer instead."""

    def __init__(
        self, settings: Settings, clock: ManualClock, state: Path, source: SyntheticSource, lake: Lake
    ) -> None:
        self.settings, self.clock, self.source, self.lake = settings, clock, source, lake
        app = create_replica(source, clock)
        self.faults = inject(app, clock, 0, {}, pause=clock.sleep)
        self.wire = Wire(app, clock)
        self.limits = AddressLimits(state, 1000, clock)
        self.client = UpbitClient("http://exchange", self.limits, clock, session=session_on(self.wire))

    @property
    def markets(self) -> list[str]:
        """Markets that the exchange lists now."""
        return sorted(market.code for market in self.source.markets() if market.listed <= self.clock.now())

    @property
    def collected(self) -> list[str]:
        """Those of them that live runs collect."""
        return [market for market in self.markets if market.split("-")[0] in self.settings.quotes]

    def on_published(self, *days: str) -> None:
        """Called with the KST days of which something was published."""

    def collect(self, now: datetime | None = None, run_id: str = "test") -> Collected:
        """One live run."""
        if now:
            self.clock.set(now)
        collected = Collector(self.client, self.lake, self.settings, self.clock).run(run_id)
        self.on_published(*(published.day for published in collected.files))
        return collected

    def history(
        self, chunk: int = CHUNK, on_progress: Callable[[WorkProgress], object] = lambda progress: None
    ) -> Backfill:
        """The history job of this world."""
        return Backfill(
            self.client,
            self.lake,
            self.settings,
            self.clock,
            on_published=self.on_published,
            on_progress=on_progress,
            chunk=chunk,
        )

    def fill_history(
        self, until: datetime | None = None, chunk: int = CHUNK, *, patient: bool = True
    ) -> BackfillResult:
        """One run of the history, by default with five hours' time; `patient` waits for live runs to end."""
        until = until or self.clock.now() + timedelta(hours=5)
        return self.history(chunk).run("test", TimeBudget(self.lake, self.clock, until, patient=patient))

    @property
    def queue(self) -> BackfillQueue:
        return BackfillQueue(self.lake)

    def request(self, start: datetime, end: datetime, *markets: str) -> Request:
        """Make a backfill request, as a user would."""
        return self.queue.add(make_request(start, end, markets, self.clock.now(), uuid4().hex))

    def work_off(self, request: Request, until: datetime | None = None, chunk: int = CHUNK) -> Request | None:
        """Work on a request until it is done."""
        time_budget = TimeBudget(self.lake, self.clock, until, patient=True)
        return self.history(chunk).work("test", request, time_budget)

    def close_day(self, day: str) -> None:
        """Make the day's live files one complete snapshot."""
        nothing_new = Coverage(day_end(day), day_end(day), "close")
        with lease(self.lake, layout.day_folder(self.lake.root, "candle", day), self.clock) as held:
            publish_snapshot(self.lake, day, to_table([]), nothing_new, held, complete=True)
        self.on_published(day)

    def prove(
        self, days: Iterable[str], *, retry: bool = False, seconds: float = 3600, chunk: int = PROVE_CHUNK
    ) -> list[ReconciledDay]:
        """One run of reconciliation."""
        until = self.clock.now() + timedelta(seconds=seconds)
        reconciler = Reconciler(self.client, self.lake, self.settings, self.clock, chunk=chunk)
        return reconciler.run("prove", days, until, retry=retry)

    @property
    def newest(self) -> Coverage:
        """The newest coverage of live runs."""
        known = ledger.live_coverage(self.lake)
        assert known is not None
        return known

    def stored(self, start: datetime, end: datetime) -> list[Candle]:
        """What the lake holds of [start, end), sorted."""
        rows = [candle for day in days_between(start, end) for candle in self.in_lake(day)]
        return sorted((candle for candle in rows if start <= candle.start < end), key=key)

    def in_lake(self, day: str) -> list[Candle]:
        """Candles of a KST day."""
        return from_table(read_day(self.lake, day))

    def truth(self, start: datetime, end: datetime, *markets: str) -> list[Candle]:
        """What the exchange holds of [start, end) of these markets, of all collected when none is named, sorted."""
        rows = [candle for market in markets or self.collected for candle in truth(self.source, market, start, end)]
        return sorted(rows, key=key)

    def holes(self, *days: str) -> set[Span]:
        """Holes of KST days that no file of theirs accounts for."""
        return {span for day in days for span in merge(read_sources(self.lake, day)[1], "test").holes()}

    def busiest(self, start: datetime, end: datetime) -> str:
        """The market with the most candles in [start, end): one that a run surely requests."""
        traded = [candle.market for candle in self.truth(start, end)]
        return max(self.markets, key=traded.count)

    def file(self, day: str) -> str:
        """Path of the newest file of a KST day's current snapshot."""
        snapshot = ledger.current(self.lake, "candle", day)
        assert snapshot is not None
        return ledger.files(self.lake, snapshot, day)[-1].path

    def snapshots(self) -> dict[str, int]:
        """How many snapshots each KST day has."""
        return {day: len(ledger.snapshots(self.lake, "candle", day)) for day in ledger.days(self.lake, "candle")}


class MemoryWorld(LakeWorld):
    """In memory, without Hive. With `like` the lake holds what that world's does, and exchange and settings are the
    same; `listed` are the quote currencies of the exchange (collected is KRW)."""

    def __init__(
        self,
        state: Path,
        now: datetime,
        markets: int = 8,
        like: MemoryWorld | None = None,
        listed: tuple[str, ...] = ("KRW",),
        **changes: Any,
    ) -> None:
        values = {"base_url": "http://exchange", "dataset": "replica", "workers": 2} | changes
        settings = like.settings if like else Settings.model_validate(values)
        source = like.source if like else SyntheticSource(seed=7, markets=markets, quotes=listed)
        clock = ManualClock(now)
        self.hdfs = MemoryHdfs(clock)
        super().__init__(settings, clock, state, source, Lake(self.hdfs.client(), settings.lake_root))
        for path, data in like.hdfs.files().items() if like else ():
            self.hdfs.put(path, data)


class World(LakeWorld):
    """Everything between the exchange and Hive: a dataset of its own, in memory or on the real daemons."""

    def __init__(self, edge: Edge, state: Path, now: datetime, markets: int = 8, **changes: Any) -> None:
        dataset = f"replica_{uuid4().hex[:12]}"
        settings = edge.settings.model_copy(update={"dataset": dataset, "workers": 2, **changes})
        clock = ManualClock(now)
        lake, self.hive = edge.open(settings, clock)
        super().__init__(settings, clock, state, SyntheticSource(seed=7, markets=markets), lake)

    def on_published(self, *days: str) -> None:
        """Let Hive show what the lake holds of KST days."""
        min_candle.register_in(self.hive, self.lake, self.settings, days)

    def adopt(self, folder: Path) -> Adopted:
        """Take over a folder of the old pipeline's files, shown in Hive."""
        return adopt_in(self.hive, self.lake, self.settings, self.clock, folder)

    def prove(
        self, days: Iterable[str], *, retry: bool = False, seconds: float = 3600, chunk: int = PROVE_CHUNK
    ) -> list[ReconciledDay]:
        """One run of reconciliation, shown in Hive."""
        reconciled = super().prove(days, retry=retry, seconds=seconds, chunk=chunk)
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

    def close(self) -> None:
        """Drop what the test made."""
        self.client.close()
        for database in (self.settings.database, self.settings.bi_database):
            self.hive.execute(f"DROP DATABASE IF EXISTS {database} CASCADE")
        self.lake.delete(self.lake.root)


FINE: Spoil = lambda path, query: None  # noqa: E731 - the exchange's own answers


def refusing(world: LakeWorld, *markets: str, status: int = 500, body: str = "oops") -> Spoil:
    """Answers so to the candles of some markets, of all when none is named."""
    return lambda path, query: (
        (status, body, headers_at(world.clock.now()))
        if "/candles/" in path and (not markets or query["market"] in markets)
        else None
    )


def changing(
    app: Any, change: Callable[[list[Row]], list[Row]], path: str = "/v1/candles/", market: str | None = None
) -> Spoil:
    """Answers requests for paths that begin so as the exchange does, but with other rows."""

    def spoil(wanted: str, query: dict[str, str]) -> Reply | None:
        if not wanted.startswith(path) or query.get("market") != market:
            return None
        response = app.test_client().get(wanted, query_string=query)
        return response.status_code, json.dumps(change(response.get_json())), dict(response.headers)

    return spoil


def with_ticker(app: Any, market: str, **changes: Any) -> Spoil:
    """Answers ticker/all with one market's row changed."""
    return changing(
        app, lambda rows: [row | (changes if row["market"] == market else {}) for row in rows], "/v1/ticker/all"
    )


def unlisted(app: Any, market: str) -> Spoil:
    """Answers market/all without a market."""
    return changing(app, lambda rows: [row for row in rows if row["market"] != market], "/v1/market/all")


def without(world: World, market: str) -> Spoil:
    """Answers as an exchange that has delisted a market."""
    gone, hidden = refusing(world, market, status=404, body=NOT_FOUND), unlisted(world.wire.app, market)
    return lambda path, query: gone(path, query) or hidden(path, query)
