"""The recent candles of all markets in memory: one immutable picture, replaced as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from upbit_elt.candle import FIELDS, wire
from upbit_elt.lake.coverage import Coverage
from upbit_elt.lake.freshness import Freshness

# More than a KST day, so that today is always whole in it.
LENGTH = timedelta(hours=26)


class Latest(NamedTuple):
    """A market's last candle in the window (UTC wire string), its close, and what today (KST) brought so far."""

    last_minute: str | None
    last_price: float | None
    candles_today: int
    value_today: float


_NOTHING = Latest(None, None, 0, 0.0)


@dataclass(frozen=True)
class Window:
    """Candles with start in [start, end), as Hive showed them when the lake covered up to `end` (UTC).

    `candles` has the candle SCHEMA; within a market, time ascends. `folders` are the locations of its days (`yyMMdd`)
    in Hive at that moment.
    """

    coverage: Coverage
    folders: Mapping[str, str]
    candles: pa.Table

    @property
    def end(self) -> datetime:
        """Up to where the last live run looked, UTC; `freshness` says up to where each market is known."""
        return self.coverage.end

    @cached_property
    def freshness(self) -> Freshness:
        """Up to where each market is known, and why not further."""
        return Freshness.of(self.coverage)

    @property
    def start(self) -> datetime:
        """First minute that the window can hold, UTC."""
        return self.end - LENGTH

    @property
    def markets(self) -> list[str]:
        """Every market that was ever collected, sorted."""
        return sorted(self.coverage.watermark)

    def rows(self, market: str, start: datetime, end: datetime, count: int) -> list[tuple[Any, ...]]:
        """The newest `count` candles of a market in [start, end), newest first, columns in wire order."""
        found = self.candles.filter(
            (pc.field("market") == market)
            & (pc.field("candle_date_time_utc") >= wire(start))
            & (pc.field("candle_date_time_utc") < wire(end))
        )
        newest = found.slice(max(0, found.num_rows - count))
        columns = [newest.column(name).to_pylist() for name in FIELDS]
        return list(zip(*columns, strict=True))[::-1]

    def latest(self, today: datetime) -> dict[str, Latest]:
        """What is newest of every market; `today` is the start of the KST day (UTC)."""
        last = self.candles.group_by("market", use_threads=False).aggregate(
            [("candle_date_time_utc", "last"), ("trade_price", "last")]
        )
        since = self.candles.filter(pc.field("candle_date_time_utc") >= wire(today))
        day = since.group_by("market").aggregate([("unit", "count"), ("candle_acc_trade_price", "sum")])
        sums = {row["market"]: (row["unit_count"], row["candle_acc_trade_price_sum"]) for row in day.to_pylist()}
        found = {
            row["market"]: Latest(
                row["candle_date_time_utc_last"], row["trade_price_last"], *sums.get(row["market"], (0, 0.0))
            )
            for row in last.to_pylist()
        }
        return {market: found.get(market, _NOTHING) for market in self.markets}
