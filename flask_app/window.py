"""The recent candles of all markets in memory: an immutable object that is replaced as a whole."""

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

# Longer than a KST day, so that the window always contains all of today.
LENGTH = timedelta(hours=26)


class Latest(NamedTuple):
    """Start (UTC wire string) and close of a market's last candle in the window, and today's (KST) sums so far.

    `value_today` is the turnover in the quote currency.
    """

    last_minute: str | None
    last_price: float | None
    candles_today: int
    value_today: float


_NOTHING = Latest(None, None, 0, 0.0)


@dataclass(frozen=True)
class Window:
    """Candles with start in [start, end), as Hive gave them when the lake covered up to `end` (UTC).

    `candles` has the candle SCHEMA; within a market, time ascends. `folders` maps each day (`yyMMdd`) to its location
    in Hive at that moment.
    """

    coverage: Coverage
    folders: Mapping[str, str]
    candles: pa.Table

    @property
    def end(self) -> datetime:
        """End (UTC) of the span that the last live run requested; `freshness` says up to where each market is known."""
        return self.coverage.end

    @cached_property
    def freshness(self) -> Freshness:
        """Up to which minute each market is known, and why not further."""
        return Freshness.of(self.coverage)

    @property
    def start(self) -> datetime:
        """First minute that the window may contain, UTC."""
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
        last_rows = found.slice(max(0, found.num_rows - count))
        columns = [last_rows.column(name).to_pylist() for name in FIELDS]
        return list(zip(*columns, strict=True))[::-1]

    def latest(self, today: datetime) -> dict[str, Latest]:
        """The last candle and today's sums of every market; `today` is the start of the KST day, in UTC."""
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
