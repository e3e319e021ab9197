"""A small world for the service: synthetic candles published as the pipeline publishes them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Generic, NamedTuple, TypeVar

from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr

from flask_app import create_app
from tests.unit.flask_app.fakes import FileHive, MemoryLake, StillClock
from upbit_elt.candle import MINUTE, Candle, day_end, day_start, days_between, to_table, wire, wire_kst
from upbit_elt.lake import layout
from upbit_elt.lake.coverage import Coverage
from upbit_elt.lake.parquet import encode
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive
from upbit_elt.warehouse.tables import ensure_day

# 12:00 KST
NOON = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
TOKEN = "secret-token"
MARKETS = ("KRW-BTC", "KRW-ETH", "KRW-THIN")
BASE = {"KRW-BTC": 100_000_000.0, "KRW-ETH": 4_000_000.0, "KRW-THIN": 12.5}


REPLICA = "http://127.0.0.1:8765"


def settings(**changes: object) -> Settings:
    values: dict[str, object] = {"dataset": "replica", "flask_token": SecretStr(TOKEN), "hive_timeout": 5.0}
    if changes.get("dataset") != "upbit":
        values["base_url"] = REPLICA
    return Settings.model_validate({**values, **changes})


def candle(market: str, start: datetime, price: float | None = None) -> Candle:
    """A candle that differs from any other: its price moves with market and minute."""
    minute = int(start.timestamp()) // 60
    size = BASE.get(market, 1000.0)
    close = size * (1 + 0.01 * math.sin(minute / 37) + 0.0003 * ((minute * 7919) % 11 - 5)) if price is None else price
    return Candle(
        market=market,
        candle_date_time_utc=wire(start),
        candle_date_time_kst=wire_kst(start),
        opening_price=close * 0.9995,
        high_price=close * 1.001,
        low_price=close * 0.999,
        trade_price=close,
        timestamp=minute * 60_000 + 59_500,
        candle_acc_trade_price=close * 2.0,
        candle_acc_trade_volume=2.0,
        unit=1,
    )


def minutes(start: datetime, end: datetime) -> Iterator[datetime]:
    moment = start
    while moment < end:
        yield moment
        moment += MINUTE


def trades(market: str, moment: datetime) -> bool:
    """The thin market trades once in 50 minutes, the others every minute."""
    return market != "KRW-THIN" or int(moment.timestamp()) // 60 % 50 == 0


class Disk(NamedTuple):
    """Size and room of a disk, in bytes."""

    total: int
    free: int


GB = 10**9
L = TypeVar("L", bound=Lake)
H = TypeVar("H", bound=Hive)


class AnyWorld(Generic[L, H]):
    """Lake, Hive, clock and the app over them."""

    def __init__(self, here: Settings, lake: L, hive: H) -> None:
        self.settings, self.lake, self.hive = here, lake, hive
        self.clock = StillClock(NOON + timedelta(seconds=20))
        self.disk = Disk(total=100 * GB, free=50 * GB)
        self.app: Flask = create_app(
            self.settings, hive=self.hive, lake=self.lake, clock=self.clock, disk=lambda folder: self.disk
        )
        self.client: FlaskClient = self.app.test_client()

    def publish(self, start: datetime, end: datetime, *, markets: tuple[str, ...] = MARKETS, snapshot: int = 1) -> None:
        """Candles of [start, end): a file each KST day, and its tables."""
        for day in days_between(start, end):
            first, last = max(start, day_start(day)), min(end, day_end(day))
            rows = [candle(m, t) for m in markets for t in minutes(first, last) if trades(m, t)]
            self.publish_file(day, first, last, rows, markets=markets, snapshot=snapshot)

    def publish_file(
        self,
        day: str,
        start: datetime,
        end: datetime,
        rows: list[Candle],
        *,
        markets: tuple[str, ...] = MARKETS,
        snapshot: int = 1,
        in_hive: bool = True,
    ) -> None:
        coverage = Coverage(start, end, "test", (), dict.fromkeys(markets, end))
        folder = layout.live_folder(self.lake.root, "candle", day, snapshot)
        self.lake.publish(f"{folder}/{layout.window_name(start, end)}", encode(to_table(rows), coverage))
        if in_hive:
            ensure_day(self.hive, self.settings, "candle", day, folder)

    def later(self, seconds: float) -> None:
        self.clock.moment += timedelta(seconds=seconds)


class World(AnyWorld[MemoryLake, FileHive]):
    """The same in memory."""

    def __init__(self, **changes: object) -> None:
        here = settings(**changes)
        lake = MemoryLake(here.lake_root)
        super().__init__(here, lake, FileHive(lake, here.database))
