"""Converts Bars to rows of the API: Upbit's field names in Upbit's order, newest first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from upbit_elt.replica.bars import Bars
from upbit_elt.replica.noise import Floats, Ints

Row = dict[str, Any]
_KST = 9 * 3600
_NAMES = (
    "candle_date_time_utc",
    "candle_date_time_kst",
    "opening_price",
    "high_price",
    "low_price",
    "trade_price",
    "timestamp",
    "candle_acc_trade_price",
    "candle_acc_trade_volume",
)


def rows(market: str, bars: Bars, **more: Iterable[object]) -> list[Row]:
    """One dict per candle, newest first; `more` adds columns (oldest first, like `bars`) after the common ones."""
    columns: list[list[Any]] = [
        times(bars.start),
        times(bars.start + _KST),
        bars.open.tolist(),
        bars.high.tolist(),
        bars.low.tolist(),
        bars.close.tolist(),
        bars.timestamp.tolist(),
        bars.quote.tolist(),
        bars.volume.tolist(),
        *map(list, more.values()),
    ]
    names = (*_NAMES, *more)
    return [{"market": market, **dict(zip(names, row, strict=True))} for row in zip(*columns, strict=True)][::-1]


def times(moments: Ints) -> list[str]:
    """Write seconds since the epoch as `YYYY-MM-DDTHH:MM:SS` (UTC)."""
    return [str(text) for text in np.datetime_as_string(moments.astype("datetime64[s]"))]


def dates(moments: Ints) -> list[str]:
    """Write seconds since the epoch as `YYYY-MM-DD` (UTC)."""
    return [text[:10] for text in times(moments)]


def minute_rows(market: str, bars: Bars, unit: int) -> list[Row]:
    """Rows of minute candles; `unit` is their length in minutes."""
    return rows(market, bars, unit=[unit] * len(bars))


def period_rows(market: str, bars: Bars) -> list[Row]:
    """Rows of week, month or year candles."""
    return rows(market, bars, first_day_of_period=dates(bars.start))


def day_rows(market: str, bars: Bars, previous: Floats, converted: list[float | None] | None) -> list[Row]:
    """Rows of day candles; `previous` are the closes of the days before.

    `converted` are the closes in another currency, None if they were not requested.
    """
    change = bars.close - previous
    more: dict[str, Iterable[object]] = {
        "prev_closing_price": previous.tolist(),
        "change_price": change.tolist(),
        "change_rate": (change / previous).tolist(),
    }
    if converted is not None:
        more["converted_trade_price"] = converted
    return rows(market, bars, **more)
