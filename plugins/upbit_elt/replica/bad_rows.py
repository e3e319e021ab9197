"""Invalid candle rows: each entry corrupts one row of a response in a named way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
Spoil = Callable[[Row], list[Row]]


def _with(**changes: Any) -> Spoil:
    return lambda row: [row | changes]


def _shifted(years: int) -> Spoil:
    """Shift a row by years in both zones, so that only `timestamp` and the requested window reveal it."""

    def spoil(row: Row) -> list[Row]:
        names = ("candle_date_time_utc", "candle_date_time_kst")
        return [row | {name: f"{int(row[name][:4]) + years}{row[name][4:]}" for name in names}]

    return spoil


BAD_ROWS: dict[str, Spoil] = {
    "high below low": lambda row: [row | {"high_price": row["low_price"] / 2}],
    "low above close": lambda row: [row | {"low_price": row["high_price"] * 2}],
    "negative price": lambda row: [row | {"opening_price": -row["opening_price"]}],
    "zero price": _with(trade_price=0.0),
    "NaN": _with(trade_price=float("nan")),
    "infinite volume": _with(candle_acc_trade_volume=float("inf")),
    "negative volume": lambda row: [row | {"candle_acc_trade_volume": -1.0}],
    "null price": _with(high_price=None),
    "price as text": lambda row: [row | {"trade_price": str(row["trade_price"])}],
    "between minutes": lambda row: [
        row | {n: row[n][:-2] + "30" for n in ("candle_date_time_utc", "candle_date_time_kst")}
    ],
    "KST is not UTC + 9 h": lambda row: [row | {"candle_date_time_kst": row["candle_date_time_utc"]}],
    "outside the window": _shifted(1),
    "long ago": _shifted(-1),
    "unreadable time": _with(candle_date_time_utc="yesterday"),
    "other market": lambda row: [row | {"market": row["market"] + "X"}],
    "other unit": _with(unit=3),
    "tick of another minute": lambda row: [row | {"timestamp": row["timestamp"] + 3_600_000}],
    "tick in nanoseconds": lambda row: [row | {"timestamp": row["timestamp"] * 1_000_000}],
    "missing field": lambda row: [{name: row[name] for name in row if name != "low_price"}],
    "twice": lambda row: [row, row],
    "twice, contradicting": lambda row: [row, row | {"high_price": row["high_price"] * 2}],
    "not an object": lambda row: [row["market"]],
    "added field": _with(colour="red"),
}
