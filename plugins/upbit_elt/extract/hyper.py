"""Writes the `.hyper` extract: tables with real timestamps in UTC and KST, and sums by hour and day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from upbit_elt.candle import SCHEMA, day_end, day_start, days_between, kst_day
from upbit_elt.errors import UpbitEltError

BATCH_ROWS = 20_000
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


def days(now: datetime, count: int) -> list[str]:
    """The `count` whole KST days before today, and today, as `yyMMdd`, oldest first."""
    today = kst_day(now)
    return list(days_between(day_start(today) - timedelta(days=count), day_end(today)))


def write(candles: Iterable[pa.Table], forecast: pa.Table, folder: Path) -> Path:
    """Write candles and a forecast into a `.hyper` file in `folder`, which also gets Hyper's log; give its path.

    `candles` yields a table per KST day (SCHEMA, sorted by market and time). The file's tables have the names of the
    views in Hive's BI database. Columns ending in `_utc` and `_kst` are timestamps without zone. Hours and days are
    those of KST.

    Raises:
        UpbitEltError: reading the candles failed.
    """
    import pantab  # noqa: PLC0415  not on every processor

    path = folder / "upbit.hyper"
    source = _Minutes(candles)
    empty = _minutes(SCHEMA.empty_table())
    content = {
        "candle": pa.RecordBatchReader.from_batches(empty.schema, source.batches()),
        # Written after the candles, because their sums are complete only then.
        "candle_day": _later(_summed(empty, "day").schema, source.days),
        "candle_hour": _later(_summed(empty, "hour").schema, source.hours),
        "forecast": _forecast(forecast),
    }
    pantab.frames_to_hyper(content, path, process_params={"log_dir": str(folder)})
    source.check()
    return path


class _Minutes:
    """Passes the candles on to the writer, and sums them by hour and by day meanwhile."""

    def __init__(self, candles: Iterable[pa.Table]) -> None:
        self._candles = candles
        self._stopped: UpbitEltError | None = None
        self._complete = False
        self.hours: list[pa.Table] = []
        self.days: list[pa.Table] = []

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield all candles with one day in memory at a time, in batches small enough to let other threads run."""
        try:
            for table in self._candles:
                minutes = _minutes(table)
                self.hours.append(_summed(minutes, "hour"))
                self.days.append(_summed(minutes, "day"))
                yield from minutes.to_batches(max_chunksize=BATCH_ROWS)
                del table, minutes  # before the next is read
        except UpbitEltError as error:
            self._stopped = error
            return
        self._complete = True

    def check(self) -> None:
        """Raise the error that ended the candles early; for the writer it would be their normal end."""
        if self._stopped:
            raise self._stopped
        if not self._complete:
            raise RuntimeError("the candles of the extract ended early")


def _later(schema: pa.Schema, tables: Iterable[pa.Table]) -> pa.RecordBatchReader:
    """Reader of tables that are filled only when the writer reads them."""
    return pa.RecordBatchReader.from_batches(schema, (batch for table in tables for batch in table.to_batches()))


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
    # One thread keeps the order, so that first and last are those in time.
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
        elif name == "issued_utc":
            columns[name] = _time(forecast, name)
        else:
            columns[name] = forecast.column(name)
    return pa.table(columns)


def _time(table: pa.Table, name: str) -> pa.ChunkedArray:
    return pc.cast(table.column(name), _TIMESTAMP)
