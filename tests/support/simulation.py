"""A whole deployment in memory that is the same run after run: exchange, HDFS, Hive, and processes that die.

A `Process` is what a worker of Airflow or the command line is: its own connections, nothing that survives it. What a
run leaves behind is in the lake and in Hive alone.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import requests

from tests.support.clock import ManualClock
from tests.support.edge import Call, Fault, Killed, Watch, inactive
from tests.support.exchange import HandlerAdapter, Reply, headers_at, session_on
from tests.support.hdfs import MemoryHdfs
from tests.support.hive import MemoryHive
from tests.support.small_exchange import SmallExchange
from upbit_elt.backfill.old_files import Adopted, adopt, survey
from upbit_elt.backfill.planner import Backfill, BackfillResult
from upbit_elt.backfill.time_budget import TimeBudget
from upbit_elt.candle import MINUTE, Candle, day_start, kst_day, parse_wire, wire
from upbit_elt.clock import Clock, Deadline, MachineClock
from upbit_elt.collect.collected import Collected
from upbit_elt.collect.collector import Collector
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.limits import AddressLimits
from upbit_elt.flows import min_candle, prove_day
from upbit_elt.flows.close_day import Closed, Closer
from upbit_elt.flows.score_forecast import Scored, Scorer
from upbit_elt.forecast import store
from upbit_elt.forecast.schema import FORECAST_SCHEMA, HORIZONS
from upbit_elt.housekeeping.lake import check_days_in, clean_lake_in
from upbit_elt.lake import ledger
from upbit_elt.lake.backfill_queue import BackfillQueue, make_request
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality.reconcile import Reconciler, wanted
from upbit_elt.quality.reconciled_day import ReconciledDay
from upbit_elt.settings import Settings

MARKETS = {"KRW-AAA": 3, "KRW-BBB": 11, "KRW-CCC": 97}
TRAVEL = 0.05  # seconds of the clock that a request takes
DEATHS = (Fault.DIES_BEFORE, Fault.DIES_HALFWAY, Fault.DIES_AFTER)


class FreeLimits(AddressLimits):
    """The limits of an address that nobody else uses and that is never at its limit."""

    def __init__(self) -> None:
        """Nothing is kept in files."""

    def acquire(self, group: str, deadline: Deadline | None = None) -> bool:
        """At once; there is no ban to look after."""
        return False

    def obey(self, group: str, remaining_req: str | None) -> None:
        """There are always tickets left."""

    def pause(self, group: str, seconds: float) -> None:
        """Nobody waits."""

    def ban(self, until: datetime) -> None:
        """Nobody is banned."""

    def lift_ban(self) -> None:
        """There is none."""


class Trace:
    """Watches the calls of one process: `calls` in order; the one at place `at` meets `fault`.

    After its death no call of the process is carried out any more, whatever its `finally` blocks want.
    """

    def __init__(self, at: int = -1, fault: Fault = Fault.NONE) -> None:
        self.calls: list[Call] = []
        self._at, self._fault = at, fault
        self._dead = False

    def __call__(self, call: Call) -> Fault:
        if self._dead:
            raise Killed
        self.calls.append(call)
        if len(self.calls) - 1 != self._at:
            return Fault.NONE
        self._dead = self._fault in DEATHS
        return self._fault


class Wire(HandlerAdapter):
    """The way to the exchange, as one process has it."""

    def __init__(self, exchange: SmallExchange, clock: Clock, watch: Watch) -> None:
        super().__init__(self._reply)
        self._exchange, self._clock, self._watch = exchange, clock, watch

    def _reply(self, path: str, query: dict[str, str]) -> Reply:
        fault = self._watch(Call("http", "GET", f"{path} {json.dumps(query)}"))
        if fault in DEATHS:
            raise Killed
        if fault is Fault.NEVER_ARRIVES:
            raise requests.ConnectionError("connection refused")
        if fault is Fault.SLOW:
            self._clock.sleep(9)
        self._clock.sleep(TRAVEL)
        status, body, headers = self._exchange.respond(path, query)
        if fault is Fault.ANSWER_LOST:
            self._clock.sleep(10)
            raise requests.ReadTimeout("read timed out")
        if fault is Fault.REFUSED:
            return 500, "oops", headers_at(self._clock.now())
        return status, body[: len(body) // 2] if fault is Fault.CUT else body, headers


@dataclass
class World:
    """Everything that outlives a process, at a moment that the test sets."""

    clock: ManualClock
    settings: Settings
    exchange: SmallExchange
    hdfs: MemoryHdfs
    hive: MemoryHive
    begin: datetime
    old_files: Path | None = None
    adopted: tuple[Candle, ...] = ()
    wrong: int = 0
    forecasts: set[datetime] = field(default_factory=set)

    @classmethod
    def fresh(cls, now: datetime, markets: dict[str, int] | None = None, **changes: Any) -> World:
        """A deployment before its first run at `now` (UTC)."""
        clock = ManualClock(now)
        values = {
            "base_url": "http://exchange",
            "dataset": "replica",
            "workers": 1,
            "first_minutes": 60,
            "history_days": 1,
        } | changes
        settings = Settings.model_validate(values)
        hdfs = MemoryHdfs(clock)
        begin = day_start(kst_day(now - timedelta(days=settings.history_days)))
        exchange = SmallExchange(clock, MARKETS if markets is None else markets)
        return cls(clock, settings, exchange, hdfs, MemoryHive(hdfs), begin)

    def copy(self) -> World:
        """The same deployment once more, so that something else may happen to it."""
        clock = ManualClock(self.clock.now())
        hdfs = MemoryHdfs(clock)
        hdfs.root = self.hdfs.root.copy()
        exchange = SmallExchange(clock, self.exchange.markets, self.exchange.listed)
        exchange.lies = dict(self.exchange.lies)
        hive = MemoryHive(hdfs, copy.deepcopy(self.hive.databases))
        made = set(self.forecasts)
        return replace(self, clock=clock, exchange=exchange, hdfs=hdfs, hive=hive, forecasts=made)

    def process(self, watch: Watch = inactive, clock: MachineClock | None = None) -> Process:
        """A process that begins now."""
        return Process(self, watch, clock or self.clock)

    def at(self, moment: datetime) -> World:
        """Set the clock."""
        self.clock.set(moment)
        return self


class Process:
    """One run of something, with connections of its own; each method is what a DAG or a command does."""

    def __init__(self, world: World, watch: Watch, clock: MachineClock) -> None:
        self.world, self.settings, self.clock = world, world.settings, clock
        self.lake = Lake(world.hdfs.client(watch, clock=clock), world.settings.lake_root)
        self.hive = world.hive.client(world.settings, watch, clock=clock)
        session = session_on(Wire(world.exchange, clock, watch))
        session.trust_env = False  # looking for proxies takes longer than the answer
        self.client = UpbitClient("http://exchange", FreeLimits(), clock, session=session)

    def live(self) -> Collected:
        """DAG min_candle."""
        collected = Collector(self.client, self.lake, self.settings, self.clock).run("live")
        self.on_published(*(published.day for published in collected.files))
        return collected

    def on_published(self, *days: str) -> None:
        """Candles of these days, and of the newest ones, in Hive."""
        min_candle.register_in(self.hive, self.lake, self.settings, days)

    def close(self) -> Closed:
        """DAG close_day."""
        return Closer(self.lake, self.hive, self.settings, self.clock).run("close")

    def prove(self) -> list[ReconciledDay]:
        """DAG prove_day."""
        until = self.clock.now() + timedelta(minutes=10)
        days = wanted(self.lake, self.clock.now())
        reconciled = Reconciler(self.client, self.lake, self.settings, self.clock).run("prove", days, until)
        prove_day.register_in(self.hive, self.lake, self.settings, reconciled)
        return reconciled

    def backfill(self) -> BackfillResult:
        """DAG backfill_candle."""
        backfill = Backfill(self.client, self.lake, self.settings, self.clock, on_published=self.on_published, chunk=20)
        until = self.clock.now() + timedelta(minutes=20)
        return backfill.run("backfill", TimeBudget(self.lake, self.clock, until, patient=True))

    def request(self, start: datetime, end: datetime, *markets: str) -> None:
        """The form of the DAG backfill_candle."""
        BackfillQueue(self.lake).add(make_request(start, end, markets, self.clock.now(), "test"))

    def adopt(self) -> Adopted:
        """The command `adopt`."""
        assert self.world.old_files
        sources = survey(self.world.old_files)
        found = adopt(self.lake, sources, self.clock)
        self.on_published(*(day for source in sources for day in source.days()))
        return found

    def housekeeping(self) -> dict[str, str]:
        """What the DAG housekeeping does in the lake; gives what it could not do."""
        troubles: dict[str, str] = {}
        now = self.clock.now()
        check_days_in(self.lake, self.hive, self.settings, now)
        clean_lake_in(self.lake, self.hive, self.settings, now, self.clock, troubles)
        return troubles

    def forecast(self) -> None:
        """DAG forecast_candle: what a model would say of the newest covered minute, stored."""
        newest = ledger.live_coverage(self.lake)
        if newest:
            self.world.forecasts.add(newest.end)
            store.store(
                self.lake, self.hive, self.settings, forecast_of(newest.end, self.world.exchange.markets), self.clock
            )

    def score(self) -> Scored:
        """DAG score_forecast."""
        return Scorer(self.lake, self.hive, self.settings, self.clock).run("score")


Job = Callable[[Process], object]


def forecast_of(origin: datetime, markets: Iterable[str]) -> Any:
    """The forecasts that are stored of an origin: a plain function of it."""
    number = float(int(origin.timestamp()) // 60 % 1000)
    rows: list[dict[str, Any]] = [
        dict.fromkeys(FORECAST_SCHEMA.names, number)
        | {
            "market": market,
            "origin": wire(origin),
            "horizon": horizon,
            "target": wire(origin + horizon * MINUTE),
            "model_version": "m",
            "issued_utc": None,
        }
        for market in markets
        for horizon in HORIZONS
    ]
    return pa.Table.from_pylist(rows, schema=FORECAST_SCHEMA)


_numbers = iter(range(1 << 62))


class _Done(Future[Any]):
    """A future that is over, and whose place in a set follows from when it was made."""

    def __init__(self) -> None:
        super().__init__()
        self._number = next(_numbers)

    def __hash__(self) -> int:
        return self._number


def _at_once(pool: ThreadPoolExecutor, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
    future = _Done()
    try:
        future.set_result(work(*arguments, **named))
    except BaseException as error:  # noqa: BLE001 - as a pool does; `result` raises it
        future.set_exception(error)
    return future


@contextmanager
def determined(seed: int) -> Iterator[random.Random]:
    """A block in which the same things happen in the same order: no threads in pools, no names from the system's noise.

    Gives the generator that the seed begins.
    """
    noise = random.Random(f"names {seed}")
    random.seed(seed)
    pa.set_cpu_count(1)  # tables of some hundred rows are read more slowly by many
    with (
        mock.patch("os.urandom", noise.randbytes),
        mock.patch.object(ThreadPoolExecutor, "submit", _at_once),
    ):
        yield random.Random(seed)


def utc(text: str) -> datetime:
    """A moment `2026-11-24T03:00:05` (UTC)."""
    return parse_wire(text).astimezone(UTC)
