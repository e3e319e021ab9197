"""Whatever the exchange says: the other markets come through value by value, and what is missing is a named hole.

Each case is a live run on a lake in memory, with one to three answers spoilt in any way, then a few runs with a healthy
exchange: 8 cases, always the same, and 1,000 in `./test soak`. `PROPERTY_EXAMPLES=20000 pytest
tests/unit/collect/test_exchange_property.py` tries so many cases, other ones each time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, event, example, given, settings

from tests.support.clock import ManualClock, utc
from tests.support.exchange import NOT_FOUND, HandlerAdapter, Reply, headers_at, minute_row, session_on
from tests.support.hdfs import MemoryHdfs
from tests.support.spoils import Spoil, Spoiler, spoils
from upbit_elt.candle import MINUTE, Candle, day_start, floor_minute, from_table
from upbit_elt.collect.collector import Collector
from upbit_elt.errors import ExchangeError
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.limits import AddressLimits
from upbit_elt.lake import ledger
from upbit_elt.lake.coverage import Coverage, merge
from upbit_elt.lake.read import latest, read_sources
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings

EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "8"))
SEEDED = "PROPERTY_EXAMPLES" not in os.environ  # the same cases each time, where a failure stops other people's work
DAY = "261124"
FIRST, SPOILT = utc(3, 10, 30), utc(3, 14, 30)
BEGIN = utc(3)
EVERY = {"KRW-A": 1, "KRW-B": 1, "KRW-C": 3}  # how seldom each trades
LIFE = timedelta(days=1)
HERE = Settings(base_url="http://exchange", dataset="replica", first_minutes=10, workers=1)


def price(market: str, minute: datetime) -> float | None:
    number = int(minute.timestamp()) // 60
    return None if number % EVERY[market] else 100.0 + number % 50


def truth(market: str, start: datetime, end: datetime) -> list[Candle]:
    """All candles of [start, end), oldest first."""
    minutes = [start + i * MINUTE for i in range(int((end - start) / MINUTE))]
    return [Candle(**minute_row(market, minute, found)) for minute in minutes if (found := price(market, minute))]


def exchange(clock: ManualClock) -> Callable[[str, dict[str, str]], Reply]:
    """A healthy one, as of a clock; it knows the last hour."""

    def result(path: str, query: dict[str, str]) -> Reply:
        now = clock.now()
        rows: list[dict[str, object]]
        closed = {market: truth(market, BEGIN, floor_minute(now)) for market in EVERY}
        if path == "/v1/market/all":
            rows = [{"market": market, "korean_name": "비", "english_name": "b"} for market in EVERY]
        elif path == "/v1/ticker/all":
            more = {"trade_price": 1.0, "acc_trade_volume_24h": 1.0, "acc_trade_price_24h": 1.0}
            rows = [{"market": m, "trade_timestamp": found[-1].timestamp} | more for m, found in closed.items()]
        elif query["market"] in EVERY:
            to = datetime.fromisoformat(query["to"])
            older = [c for c in reversed(closed[query["market"]]) if c.start < to][: int(query["count"])]
            rows = [minute_row(c.market, c.start, c.trade_price) for c in older]
        else:
            return 404, NOT_FOUND, headers_at(now)
        return 200, json.dumps(rows), headers_at(now)

    return result


class World:
    """A lake that knows [BEGIN, 03:10), a clock at SPOILT."""

    def __init__(self, folder: Path, found: list[Spoil]) -> None:
        self.clock = ManualClock(SPOILT)
        self.folder = folder
        hdfs = MemoryHdfs(self.clock)
        for path, data in prepared().items():
            hdfs.put(path, data)
        self.lake = Lake(hdfs.client(), HERE.lake_root)
        self.spoiler = Spoiler(exchange(self.clock), found)

    def run(self, result: Callable[[str, dict[str, str]], Reply], number: int) -> None:
        collect(self.lake, self.clock, self.folder / str(number), result)

    def coverage(self) -> Coverage:
        return merge(read_sources(self.lake, DAY, BEGIN, BEGIN + LIFE)[1], "test")

    def stored(self) -> dict[tuple[str, datetime], Candle]:
        tables, _ = read_sources(self.lake, DAY, day_start(DAY), BEGIN + LIFE)
        found = {(candle.market, candle.start): candle for candle in from_table(latest(tables))}
        assert sum(table.num_rows for table in tables) == len(found), "a reader sees a minute twice"
        return found


def collect(lake: Lake, clock: ManualClock, folder: Path, result: Callable[[str, dict[str, str]], Reply]) -> None:
    limits = AddressLimits(folder, 1000, clock)
    client = UpbitClient("http://exchange", limits, clock, session=session_on(HandlerAdapter(result)))
    Collector(client, lake, HERE, clock).run(f"run {folder.name}")


@cache
def prepared() -> dict[str, bytes]:
    """Files of a lake after a first run."""
    clock = ManualClock(FIRST)
    hdfs = MemoryHdfs(clock)
    with TemporaryDirectory() as folder:
        collect(Lake(hdfs.client(), HERE.lake_root), clock, Path(folder), exchange(clock))
    return hdfs.files()


def unaccounted(world: World, end: datetime) -> list[str]:
    """Minutes of [BEGIN, end) that had a trade and are neither stored nor a named hole.

    That a market has no candle at all is noted as a recheck for the next run.
    """
    known, stored, newest = world.coverage(), world.stored(), ledger.live_coverage(world.lake)
    holes = [span for span in known.spans if span.state == "hole"]
    assert all(span.reason for span in holes), "a hole without a reason"
    rechecks = [recheck for recheck in (newest.rechecks if newest else None) or () if recheck.state == "empty"]
    named = [(span.market, span.start, span.end) for span in holes]
    named += [(recheck.market, recheck.start, recheck.end) for recheck in rechecks]
    found = []
    for market in EVERY:
        known_until = known.watermark.get(market, BEGIN)
        for candle in truth(market, BEGIN, end):
            hole = any(span[0] == market and span[1] <= candle.start < span[2] for span in named)
            if (market, candle.start) not in stored and not hole and candle.start < known_until:
                found.append(f"{market} {candle.start:%H:%M}")
    return found


def one_page_alone(found: list[Spoil]) -> bool:
    """Whether single candle requests were spoilt in ways that concern no other."""
    names = {name for spoil in found for name, _ in spoil.headers}
    single = all(spoil.endpoint == "candles" and spoil.number for spoil in found)
    return single and not {spoil.status for spoil in found} & {418, 429} and not names & {"Date", "Remaining-Req"}


def check_spoilt_run(world: World, found: list[Spoil]) -> None:
    try:
        world.run(world.spoiler, 1)
    except ExchangeError as error:
        event(f"the run ended: {type(error).__name__}")
        if one_page_alone(found):
            raise
        return
    event("the run published")
    assert unaccounted(world, world.coverage().end) == []
    if one_page_alone(found):
        stored = world.stored()
        short = [m for m in EVERY if any(stored.get((m, c.start)) != c for c in truth(m, BEGIN, utc(3, 14)))]
        assert len(short) <= len({spoil.number for spoil in found}), f"{short} did not come through"


def check_recovery(world: World) -> None:
    """With a healthy exchange the lake comes to hold all that was, and nothing else."""
    for number in range(2, 8):
        world.clock.sleep(120)
        world.run(exchange(world.clock), number)
        known = world.coverage()
        if not list(known.holes()) and number > 2:
            break
    assert [span for span in known.holes() if span.market in EVERY] == []
    assert known.end == floor_minute(world.clock.now())
    there = {(candle.market, candle.start): candle for m in EVERY for candle in truth(m, BEGIN, known.end)}
    assert world.stored() == there


def field(endpoint: str, name: str, value: object) -> list[Spoil]:
    """The first row of every answer of an endpoint has another value."""
    return [Spoil(endpoint, 0, lambda rows: [rows[0] | {name: value}, *rows[1:]], words=f"{name} := {value!r}")]


MILLISECONDS = int(SPOILT.timestamp()) * 1000


@example(found=field("candles", "timestamp", MILLISECONDS * 1_000_000))
@example(found=field("ticker", "trade_timestamp", MILLISECONDS * 1000))
@example(found=field("ticker", "trade_timestamp", MILLISECONDS // 1000))
@example(found=field("ticker", "trade_timestamp", 0))
@example(found=field("ticker", "trade_timestamp", None))
@example(found=field("ticker", "trade_timestamp", str(MILLISECONDS - 3_600_000)))
@example(found=field("candles", "market", "KRW-\ud800"))
@example(found=[Spoil("market", 0, lambda rows: rows + rows, words="every market twice")])
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=SEEDED,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(found=spoils(ManualClock(SPOILT), 5))
def test_one_bad_response_never_costs_the_others(found: list[Spoil]) -> None:
    with TemporaryDirectory() as folder:
        world = World(Path(folder), found)
        check_spoilt_run(world, found)
        check_recovery(world)
