"""Live runs and backfill against the replica, by a hand-turned clock, on a lake in memory: no daemon is needed."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from tests.support.clock import ManualClock
from tests.support.exchange import headers_at, session_on
from tests.support.hdfs import MemoryHdfs
from tests.support.world import Spoil, Wire
from upbit_elt.backfill.planner import History, Progress
from upbit_elt.backfill.time_budget import TimeBudget
from upbit_elt.backfill.worker import Tools
from upbit_elt.candle import Candle, days_between, from_table
from upbit_elt.collect.collector import Collected, Collector
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.limits import AddressLimits
from upbit_elt.lake import ledger
from upbit_elt.lake.backfill_queue import BackfillQueue
from upbit_elt.lake.coverage import Coverage, Span, merge
from upbit_elt.lake.read import read_day, read_sources
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.replica import SyntheticSource, create_replica, inject, truth
from upbit_elt.settings import Settings

FINE: Spoil = lambda path, query: None  # noqa: E731


class LiveWorld:
    """An exchange of a few markets, a lake, and what works between them."""

    def __init__(self, state: Path, now: datetime, markets: int = 8, **changes: object) -> None:
        self.clock = ManualClock(now)
        self.settings = Settings(base_url="http://exchange", dataset="replica", workers=2, **changes)  # type: ignore[arg-type]
        self.source = SyntheticSource(seed=7, markets=markets)
        app = create_replica(self.source, self.clock)
        self.faults = inject(app, self.clock, 0, {}, pause=self.clock.sleep)
        self.wire = Wire(app, self.clock)
        self.client = UpbitClient(
            "http://exchange", AddressLimits(state, 1000, self.clock), self.clock, session=session_on(self.wire)
        )
        self.hdfs = MemoryHdfs(self.clock)
        self.lake = Lake(self.hdfs.client(), self.settings.lake_root)

    @property
    def markets(self) -> list[str]:
        return sorted(market.code for market in self.source.markets() if market.listed <= self.clock.now())

    def collect(self, now: datetime | None = None, run_id: str = "test") -> Collected:
        """One live run."""
        if now:
            self.clock.set(now)
        return Collector(self.client, self.lake, self.settings, self.clock).run(run_id)

    def backfill(self, hours: float = 5) -> Progress:
        """One run of the backfill that has time enough."""
        time_budget = TimeBudget(self.lake, self.clock, self.clock.now() + timedelta(hours=hours), patient=True)
        return History(Tools(self.client, self.lake, self.settings, self.clock)).run("backfill", time_budget)

    @property
    def queue(self) -> BackfillQueue:
        return BackfillQueue(self.lake)

    @property
    def newest(self) -> Coverage:
        known = ledger.live_coverage(self.lake)
        assert known is not None
        return known

    def stored(self, start: datetime, end: datetime) -> list[Candle]:
        """What the lake holds of [start, end), sorted."""
        rows = [c for day in days_between(start, end) for c in from_table(read_day(self.lake, day))]
        return sorted((c for c in rows if start <= c.start < end), key=_key)

    def truth(self, start: datetime, end: datetime, *markets: str) -> list[Candle]:
        """What the exchange holds of [start, end), sorted."""
        return sorted((c for m in markets or self.markets for c in truth(self.source, m, start, end)), key=_key)

    def holes(self, *days: str) -> set[Span]:
        """Holes of KST days that no file of theirs accounts for."""
        return {span for day in days for span in merge(read_sources(self.lake, day)[1], "test").holes()}

    def busiest(self, start: datetime, end: datetime) -> str:
        """The market with the most candles in [start, end): one that a run surely asks."""
        traded = [candle.market for candle in self.truth(start, end)]
        return max(self.markets, key=traded.count)

    def snapshots(self) -> dict[str, int]:
        """How many snapshots each KST day has."""
        return {day: len(ledger.snapshots(self.lake, "candle", day)) for day in ledger.days(self.lake, "candle")}


def refusing(world: LiveWorld, *markets: str) -> Spoil:
    """Answers 500 to the candles of some markets, of all when none is named."""
    return lambda path, query: (
        (500, "oops", headers_at(world.clock.now()))
        if "/candles/" in path and (not markets or query["market"] in markets)
        else None
    )


def _key(candle: Candle) -> tuple[str, str]:
    return candle.market, candle.candle_date_time_utc
