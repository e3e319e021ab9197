"""Replays recorded 1-minute candles for ever: the recording repeats after a whole number of weeks.

For a minute t it gives the recorded minute `first + (t - first) mod period`, where `period` is the largest number of
whole weeks that the recording covers. So weekday and time of day are kept, and the candles of a minute depend neither
on the clock nor on the start of the process. Prices jump where a repetition ends. Nothing exists before the first
recorded minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from upbit_elt.errors import ConfigError, UnknownMarket
from upbit_elt.replica import noise, roster
from upbit_elt.replica.bars import DAY, MINUTE, Bars, concat
from upbit_elt.replica.noise import Floats, Ints
from upbit_elt.replica.source import QUOTES, Market

WEEK = 7 * DAY
_PRICES = ("opening_price", "high_price", "low_price", "trade_price")
_VOLUME, _QUOTE_SUM = "candle_acc_trade_volume", "candle_acc_trade_price"
_REQUIRED = ("market", "candle_date_time_utc", *_PRICES, _VOLUME)
_OPTIONAL = ("timestamp", _QUOTE_SUM, "unit")


class ReplaySource:
    """Source that replays the Parquet files below `folder`.

    Required columns are market, candle_date_time_utc, the four prices and candle_acc_trade_volume; `timestamp` and
    `candle_acc_trade_price` are derived where they are missing.

    Raises:
        ConfigError: there is no Parquet file, one cannot be read, a column or value is missing, the candles have
            another unit than one minute or an unknown quote currency, or cover less than a week.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._recorded = _read(folder)
        except pa.ArrowException as error:
            raise ConfigError(f"the candles in {folder} cannot be read: {error}") from error
        self._first = min(int(rows.start[0]) for rows in self._recorded.values())
        last = max(int(rows.start[-1]) for rows in self._recorded.values())
        self._period = (last + MINUTE - self._first) // WEEK * WEEK
        if not self._period:
            raise ConfigError(f"a replay repeats whole weeks, but {folder} holds less than one")

    def markets(self) -> Sequence[Market]:
        """All recorded markets; those of known coins have the coins' names."""
        known = {coin.code: coin for coin in roster.coins(roster.MOST_COINS)}
        return [self._named(code, known.get(code.partition("-")[2])) for code in sorted(self._recorded)]

    def minutes(self, market: str, start: datetime, end: datetime) -> Bars:
        """Minutes with trades in [start, end); none before the first recorded one. Raises UnknownMarket."""
        rows = self._rows(market)
        low, high = max(int(start.timestamp()), self._first), int(end.timestamp())
        rounds = range((low - self._first) // self._period, -(-(high - self._first) // self._period))
        return concat([self._round(rows, number * self._period, low, high) for number in rounds])

    def prices_on(self, market: str, days: Ints) -> Floats:
        """Last price before 00:00 UTC of days since the epoch, NaN where there is none. Raises UnknownMarket."""
        rows, moments = self._rows(market), days * DAY
        place = self._first + (moments - self._first) % self._period
        before = np.searchsorted(rows.start, place) - 1
        usable = (moments >= self._first) & (before >= 0)
        return np.where(usable, rows.close[np.maximum(before, 0)], np.nan)

    def _rows(self, market: str) -> Bars:
        if market not in self._recorded:
            raise UnknownMarket(f"no market {market!r}")
        return self._recorded[market]

    def _round(self, rows: Bars, shift: int, low: int, high: int) -> Bars:
        """Rows in [low, high) of the repetition that is `shift` seconds (whole weeks) after the recording."""
        part = rows.between(low - shift, min(high - shift, self._first + self._period))
        return replace(part, start=part.start + shift, timestamp=part.timestamp + shift * 1000)

    def _named(self, code: str, coin: roster.Coin | None) -> Market:
        base = code.partition("-")[2]
        names = (coin.korean_name, coin.english_name) if coin else (base, base)
        return Market(code, *names, datetime.fromtimestamp(self._first, UTC))


def _read(folder: Path) -> dict[str, Bars]:
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise ConfigError(f"no Parquet file in {folder}")
    tables = [_columns(file) for file in files]
    table = pa.concat_tables(tables, promote_options="permissive")
    if not len(table):
        raise ConfigError(f"no candle in {folder}")
    market = pc.dictionary_encode(table["market"]).combine_chunks()
    codes = [str(code) for code in market.dictionary.to_pylist()]
    _check(folder, table, codes)
    rows, member = _bars(table), np.from_dlpack(market.indices)
    return {code: _sorted(code, rows.take(member == number)) for number, code in enumerate(codes)}


def _columns(file: Path) -> pa.Table:
    parquet = pq.ParquetFile(file)
    there = parquet.schema_arrow.names
    if missing := [name for name in _REQUIRED if name not in there]:
        raise ConfigError(f"{file} has no column {', '.join(missing)}")
    return parquet.read([*_REQUIRED, *(name for name in _OPTIONAL if name in there)])


def _check(folder: Path, table: pa.Table, codes: list[str]) -> None:
    if empty := [name for name in table.column_names if table[name].null_count]:
        raise ConfigError(f"the candles in {folder} have empty values in {', '.join(empty)}")
    if wrong := [code for code in codes if code.partition("-")[0] not in QUOTES]:
        raise ConfigError(f"{folder} holds {wrong[0]!r}; quote currencies are {', '.join(QUOTES)}")
    if "unit" in table.column_names and (_numbers(table["unit"], pa.int64()) != 1).any():
        raise ConfigError(f"{folder} holds candles of more than one minute; a replay needs 1-minute candles")


def _bars(table: pa.Table) -> Bars:
    """All recorded rows; a missing `timestamp` is 0."""
    start = _numbers(pc.cast(table["candle_date_time_utc"], pa.timestamp("s")), pa.int64())
    open_, high, low, close, volume = (_numbers(table[name], pa.float64()) for name in (*_PRICES, _VOLUME))
    has = table.column_names
    stamp = _numbers(table["timestamp"], pa.int64()) if "timestamp" in has else np.zeros(len(table), np.int64)
    mean = (open_ + high + low + close) / 4
    quote = _numbers(table[_QUOTE_SUM], pa.float64()) if _QUOTE_SUM in has else volume * mean
    return Bars(start, open_, high, low, close, stamp, quote, volume)


def _sorted(code: str, rows: Bars) -> Bars:
    """Sort the rows of one market by time; of several rows of a minute the one with the last `timestamp` stays."""
    rows = rows.take(np.lexsort((rows.timestamp, rows.start)))
    rows = rows.take(np.append(rows.start[1:] != rows.start[:-1], True))
    return replace(rows, timestamp=np.where(rows.timestamp > 0, rows.timestamp, _last_tick(code, rows.start)))


def _numbers(column: pa.ChunkedArray, kind: pa.DataType) -> NDArray[Any]:
    """Convert a column without nulls to NumPy, by DLPack, because Arrow's `to_numpy` would import pandas."""
    return np.from_dlpack(pc.cast(column, kind).combine_chunks())


def _last_tick(code: str, start: Ints) -> Ints:
    """Random time (ms since the epoch) of the last tick within each minute, more likely late than early."""
    draw = noise.uniform(noise.bits(noise.key("last tick", code), start // MINUTE))
    return np.asarray(start * 1000 + (60_000 * draw**0.1).astype(np.int64))
