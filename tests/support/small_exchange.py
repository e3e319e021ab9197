"""A cheap exchange for simulations: few markets, every candle a plain function of market and minute.

It has the endpoints that the product requests (`market/all`, `ticker/all`, `candles/minutes/N`), as of a clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zlib import crc32

from tests.support.exchange import NOT_FOUND, Reply, headers_at
from upbit_elt.candle import FIELDS, MINUTE, Candle, floor_minute, wire, wire_kst
from upbit_elt.clock import Clock

Row = dict[str, Any]
Spoil = Callable[[str, dict[str, str]], Reply | None]
BEGIN = datetime(2026, 11, 20, tzinfo=UTC)
LONGEST_PAUSE = timedelta(days=2)


def _number(market: str, minute: int) -> int:
    return crc32(f"{market} {minute}".encode())


@lru_cache(maxsize=1 << 18)
def candle(market: str, minute: int, every: int) -> Candle | None:
    """The candle of a minute (since the epoch); None where the market had no trade, which is so but once in `every`."""
    number = _number(market, minute)
    if number % every:
        return None
    start = datetime.fromtimestamp(minute * 60, UTC)
    price = 1000.0 + (number >> 8) % 512
    close = price + (number >> 17) % 7
    volume = 1.0 + (number >> 12) % 16 / 8
    return Candle(
        market=market,
        candle_date_time_utc=wire(start),
        candle_date_time_kst=wire_kst(start),
        opening_price=price,
        high_price=close + 2,
        low_price=price - 2,
        trade_price=close,
        timestamp=minute * 60_000 + _traded(market, minute),
        candle_acc_trade_price=close * volume,
        candle_acc_trade_volume=volume,
        unit=1,
    )


def _traded(market: str, minute: int) -> int:
    """When in its minute the only trade was, in ms."""
    return 1000 + _number(market, minute) % 58_000


class SmallExchange:
    """`markets` by name, each with how seldom it trades (once in so many minutes); `listed` since when (UTC).

    `lies` are minutes of which it gives another candle than there was, or none.
    """

    def __init__(self, clock: Clock, markets: dict[str, int], listed: dict[str, datetime] | None = None) -> None:
        self.clock, self.markets, self.listed = clock, markets, listed or {}
        self.lies: dict[tuple[str, datetime], Candle | None] = {}
        self.spoil: Spoil | None = None

    def truth(self, start: datetime, end: datetime) -> list[Candle]:
        """All candles of [start, end), sorted by market and time."""
        return [found for market in sorted(self.markets) for found in self._between(market, start, end)]

    def respond(self, path: str, query: dict[str, str]) -> Reply:
        """The answer to a GET of `path` below the origin; `spoil` may give another in its place."""
        return (self.spoil and self.spoil(path, query)) or self.truthful(path, query)

    def truthful(self, path: str, query: dict[str, str]) -> Reply:
        """What an exchange in health answers, but for its lies."""
        now = self.clock.now()
        if path == "/v1/market/all":
            return self._said([{"market": m, "korean_name": m, "english_name": m} for m in self._now_listed(now)])
        if path == "/v1/ticker/all":
            return self._said([row for m in self._now_listed(now) if (row := self._ticker(m, now))])
        if query.get("market") not in self._now_listed(now):
            return 404, NOT_FOUND, headers_at(now)
        unit = int(path.rsplit("/", 1)[1])
        to = datetime.fromisoformat(query["to"]) if "to" in query else now + MINUTE
        return self._said(self._page(query["market"], unit, min(to, now + MINUTE), int(query["count"]), now))

    def _said(self, rows: list[Row]) -> Reply:
        return 200, json.dumps(rows), headers_at(self.clock.now())

    def _now_listed(self, now: datetime) -> list[str]:
        return [market for market in self.markets if self._since(market) <= now]

    def _since(self, market: str) -> datetime:
        return self.listed.get(market, BEGIN)

    def _between(self, market: str, start: datetime, end: datetime) -> Iterator[Candle]:
        first = max(start, self._since(market))
        for minute in range(int(first.timestamp()) // 60, int(end.timestamp()) // 60):
            found = candle(market, minute, self.markets[market])
            if found:
                yield found

    def _backwards(self, market: str, before: datetime, now: datetime) -> Iterator[Candle]:
        """Newest first; the running minute is there once it has its trade."""
        first = max(self._since(market), before - LONGEST_PAUSE)
        for minute in range(int((before.timestamp() - 1) // 60), int(first.timestamp()) // 60 - 1, -1):
            found = candle(market, minute, self.markets[market])
            if self.lies:
                found = self.lies.get((market, datetime.fromtimestamp(minute * 60, UTC)), found)
            if found and found.timestamp <= now.timestamp() * 1000:
                yield found

    def _ticker(self, market: str, now: datetime) -> Row | None:
        last = next(self._backwards(market, floor_minute(now) + MINUTE, now), None)
        if last is None:
            return None
        return {
            "market": market,
            "trade_timestamp": last.timestamp,
            "trade_price": last.trade_price,
            "acc_trade_volume_24h": 1.0,
            "acc_trade_price_24h": 1.0,
        }

    def _page(self, market: str, unit: int, to: datetime, count: int, now: datetime) -> list[Row]:
        rows: list[Row] = []
        for found in self._backwards(market, to, now):
            row = {name: getattr(found, name) for name in FIELDS}
            if unit > 1:
                row = _widened(row, found.start, unit)
                if rows and rows[-1]["candle_date_time_utc"] == row["candle_date_time_utc"]:
                    rows[-1] = _added(row, rows[-1])
                    continue
            if len(rows) == count:
                break
            rows.append(row)
        return rows


def _widened(row: Row, start: datetime, unit: int) -> Row:
    minutes = int(start.timestamp()) // 60
    first = datetime.fromtimestamp(minutes // unit * unit * 60, UTC)
    return row | {"candle_date_time_utc": wire(first), "candle_date_time_kst": wire_kst(first), "unit": unit}


def _added(older: Row, newer: Row) -> Row:
    """A wider candle with an older minute of it added."""
    return newer | {
        "opening_price": older["opening_price"],
        "high_price": max(older["high_price"], newer["high_price"]),
        "low_price": min(older["low_price"], newer["low_price"]),
        "candle_acc_trade_price": older["candle_acc_trade_price"] + newer["candle_acc_trade_price"],
        "candle_acc_trade_volume": older["candle_acc_trade_volume"] + newer["candle_acc_trade_volume"],
    }
