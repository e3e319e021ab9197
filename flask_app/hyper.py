"""Tables of the `.hyper` extract: real timestamps, in UTC and in KST, and sums by hour and day."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from upbit_elt.candle import day_end, day_start, kst_day

_TIMESTAMP = pa.timestamp("us")
_VALUES = (
    "opening_price",
    "high_price",
    "low_price",
    "trade_price",
    "candle_acc_trade_price",
    "candle_acc_trade_volume",
)
_NINE_HOURS = pa.scalar(timedelta(hours=9), pa.duration("us"))


def span(now: datetime, days: int) -> tuple[datetime, datetime]:
    """[start, end) (UTC) of `days` whole KST days before today, and today."""
    today = kst_day(now)
    return day_start(today) - timedelta(days=days), day_end(today)


def tables(candles: pa.Table, forecast: pa.Table) -> dict[str, pa.Table]:
    """The extract's tables by name, of candles (SCHEMA, sorted by market and time) and a forecast.

    Names are those of the views in Hive's BI database. Columns ending in `_utc` and `_kst` are timestamps
    without zone. Hours and days are those of KST.
    """
    minutes = _minutes(candles)
    return {
        "candle": minutes,
        "candle_hour": _summed(minutes, "hour"),
        "candle_day": _summed(minutes, "day"),
        "forecast": _forecast(forecast),
    }


def write(content: dict[str, pa.Table], folder: Path) -> bytes:
    """Bytes of the `.hyper` file with these tables; `folder` takes the file and Hyper's own log."""
    import pantab  # noqa: PLC0415  not on every processor

    path = folder / "upbit.hyper"
    pantab.frames_to_hyper(content, path, process_params={"log_dir": str(folder)})
    return path.read_bytes()


def _minutes(candles: pa.Table) -> pa.Table:
    return pa.table(
        {
            "market": candles.column("market"),
            "candle_time_utc": _time(candles, "candle_date_time_utc"),
            "candle_time_kst": _time(candles, "candle_date_time_kst"),
            **{name: candles.column(name) for name in _VALUES},
        }
    )


def _summed(minutes: pa.Table, unit: str) -> pa.Table:
    start = pc.floor_temporal(minutes.column("candle_time_kst"), unit=unit)
    keyed = minutes.select(["market", *_VALUES]).append_column("start", start)
    # Ordered, so that first and last are those in time.
    sums = keyed.group_by(["market", "start"], use_threads=False).aggregate(
        [
            ("opening_price", "first"),
            ("high_price", "max"),
            ("low_price", "min"),
            ("trade_price", "last"),
            ("candle_acc_trade_price", "sum"),
            ("candle_acc_trade_volume", "sum"),
            ("trade_price", "count"),
        ]
    )
    return pa.table(
        {
            "market": sums.column("market"),
            "candle_time_utc": pc.subtract(sums.column("start"), _NINE_HOURS),
            "candle_time_kst": sums.column("start"),
            "opening_price": sums.column("opening_price_first"),
            "high_price": sums.column("high_price_max"),
            "low_price": sums.column("low_price_min"),
            "trade_price": sums.column("trade_price_last"),
            "candle_acc_trade_price": sums.column("candle_acc_trade_price_sum"),
            "candle_acc_trade_volume": sums.column("candle_acc_trade_volume_sum"),
            "minutes_with_trades": sums.column("trade_price_count"),
        }
    )


def _forecast(forecast: pa.Table) -> pa.Table:
    columns: dict[str, pa.ChunkedArray] = {}
    for name in forecast.column_names:
        if name in ("origin", "target"):
            moment = _time(forecast, name)
            columns[f"{name}_utc"], columns[f"{name}_kst"] = moment, pc.add(moment, _NINE_HOURS)
        else:
            columns[name] = forecast.column(name)
    return pa.table(columns)


def _time(table: pa.Table, name: str) -> pa.ChunkedArray:
    return pc.cast(table.column(name), _TIMESTAMP)
