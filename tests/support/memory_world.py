"""A small exchange and a lake in memory, without a daemon: for what does not need Hive."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.support.clock import ManualClock
from tests.support.exchange import session_on
from tests.support.hdfs import MemoryHdfs
from tests.support.world import Wire
from upbit_elt.backfill.planner import History, Progress
from upbit_elt.backfill.time_budget import TimeBudget
from upbit_elt.backfill.worker import CHUNK, Tools
from upbit_elt.candle import Candle, day_end, from_table, to_table
from upbit_elt.collect.collector import Collected, Collector
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.limits import AddressLimits
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.backfill_queue import BackfillQueue, Request, make_request
from upbit_elt.lake.coverage import Coverage
from upbit_elt.lake.lease import lease
from upbit_elt.lake.publish import publish_snapshot
from upbit_elt.lake.read import read_day
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality.reconcile import CHUNK as PROVE_CHUNK
from upbit_elt.quality.reconcile import Prover
from upbit_elt.quality.reconciled_day import ReconciledDay
from upbit_elt.replica import SyntheticSource, create_replica, truth
from upbit_elt.settings import Settings


class MemoryWorld:
    """Exchange, lake and clock at a moment that the test sets; `wire.spoil` may answer in the exchange's place."""

    def __init__(
        self,
        state: Path,
        now: datetime,
        markets: int = 4,
        like: MemoryWorld | None = None,
        listed: tuple[str, ...] = ("KRW",),
        **changes: Any,
    ) -> None:
        """`listed` are the quote currencies of the exchange (collected is KRW). With `like` the lake holds what that
        world's does, and the exchange is the same."""
        self.clock = ManualClock(now)
        self.settings = Settings.model_validate(
            {"base_url": "http://exchange", "workers": 2, "history_days": 1} | changes
        )
        self.source: SyntheticSource = like.source if like else SyntheticSource(seed=7, markets=markets, quotes=listed)
        self.wire = Wire(create_replica(self.source, self.clock), self.clock)
        limits = AddressLimits(state, 1000, self.clock)
        self.client = UpbitClient("http://exchange", limits, self.clock, session=session_on(self.wire))
        self.hdfs = MemoryHdfs(self.clock)
        self.lake = Lake(self.hdfs.client(), self.settings.lake_root)
        for path, data in like.hdfs.files().items() if like else ():
            self.hdfs.put(path, data)

    @property
    def markets(self) -> list[str]:
        return sorted(market.code for market in self.source.markets() if market.listed <= self.clock.now())

    @property
    def collected(self) -> list[str]:
        return [market for market in self.markets if market.split("-")[0] in self.settings.quotes]

    def collect(self, now: datetime | None = None) -> Collected:
        """One live run."""
        if now:
            self.clock.set(now)
        return Collector(self.client, self.lake, self.settings, self.clock).run("live")

    def history(self, chunk: int = CHUNK) -> History:
        return History(Tools(self.client, self.lake, self.settings, self.clock, chunk=chunk))

    def fill(self, seconds: float = 7200) -> Progress:
        """One run of the history."""
        until = self.clock.now() + timedelta(seconds=seconds)
        return self.history().run("history", TimeBudget(self.lake, self.clock, until, patient=True))

    def request(self, start: datetime, end: datetime, *markets: str) -> Request:
        """Ask for history, as a user would."""
        return BackfillQueue(self.lake).add(make_request(start, end, markets, self.clock.now(), uuid4().hex))

    def work_off(self, request: Request, seconds: float = 7200) -> Request | None:
        until = self.clock.now() + timedelta(seconds=seconds)
        return self.history().work("history", request, TimeBudget(self.lake, self.clock, until, patient=True))

    def close_day(self, day: str) -> None:
        """Make the day's live files one complete snapshot."""
        nothing_new = Coverage(day_end(day), day_end(day), "close")
        with lease(self.lake, layout.day_folder(self.lake.root, "candle", day), self.clock) as held:
            publish_snapshot(self.lake, day, to_table([]), nothing_new, held, complete=True)

    def prove(
        self, days: Iterable[str], *, retry: bool = False, seconds: float = 3600, chunk: int = PROVE_CHUNK
    ) -> list[ReconciledDay]:
        """One run of reconciliation."""
        until = self.clock.now() + timedelta(seconds=seconds)
        return Prover(self.client, self.lake, self.settings, self.clock, chunk=chunk).run(
            "prove", days, until, retry=retry
        )

    def truth(self, start: datetime, end: datetime) -> list[Candle]:
        """What the exchange holds of [start, end) of the collected markets, sorted."""
        rows = [candle for market in self.collected for candle in truth(self.source, market, start, end)]
        return sorted(rows, key=lambda c: (c.market, c.candle_date_time_utc))

    def in_lake(self, day: str) -> list[Candle]:
        """Candles of a KST day, sorted."""
        return from_table(read_day(self.lake, day))

    def file(self, day: str) -> str:
        """Path of the newest file of a KST day's current snapshot."""
        snapshot = ledger.current(self.lake, "candle", day)
        assert snapshot is not None
        return ledger.files(self.lake, snapshot, day)[-1].path
