"""What came: the last price of every market at the end of every minute, by the candles and coverage in the lake.

A minute without a trade carries the price on. A minute that is not accounted for (a hole, a lost file, or never asked)
ends it: from there on the price is not known until the next candle.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from upbit_elt.candle import MINUTE, SCHEMA, day_start
from upbit_elt.forecast.scoring import Floats
from upbit_elt.intervals import Bounded
from upbit_elt.lake import ledger
from upbit_elt.lake.isolation import isolated
from upbit_elt.lake.parquet import coverage_of, decode
from upbit_elt.lake.webhdfs import Lake

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

DAY_MINUTES = 1440
_COLUMNS = pa.schema([SCHEMA.field(name) for name in ("market", "candle_date_time_utc", "trade_price")])


@dataclass(frozen=True, slots=True)
class MarketDay:
    """The minutes of one market and KST day: closing price (NaN without a candle), whether it is accounted for, and
    whether the market was collected then (accounted for, or a hole)."""

    price: Floats = field(default_factory=lambda: np.full(DAY_MINUTES, np.nan))
    known: Bools = field(default_factory=lambda: np.zeros(DAY_MINUTES, np.bool_))
    collected: Bools = field(default_factory=lambda: np.zeros(DAY_MINUTES, np.bool_))


def read_day(lake: Lake, day: str, troubles: MutableMapping[str, str]) -> dict[str, MarketDay]:
    """The minutes of a KST day by market, from the day's current snapshot.

    A file that cannot be read is a hole, with the error's words in `troubles`.
    """
    found: dict[str, MarketDay] = {}
    snapshot = ledger.current(lake, "candle", day)
    for file in ledger.files(lake, snapshot, day) if snapshot else ():
        with isolated(lake, file.path, troubles):
            data = lake.read(file.path)
            table, coverage = decode(data, file.path, _COLUMNS), coverage_of(data, file.path)
            for span in coverage.spans:
                minutes = found.setdefault(span.market, MarketDay())
                inside = _place(span, day_start(day))
                minutes.collected[inside] = True
                if span.state != "hole":
                    minutes.known[inside] = True
            _add_candles(found, table, day_start(day))
    return found


def _place(span: Bounded, start: datetime) -> slice:
    first, last = ((moment - start) // MINUTE for moment in (span.start, span.end))
    return slice(max(first, 0), max(last, 0))


def _add_candles(found: MutableMapping[str, MarketDay], table: pa.Table, start: datetime) -> None:
    if not table.num_rows:
        return
    names = table.column(0).combine_chunks().dictionary_encode()
    codes, prices = names.indices.to_numpy(), table.column(2).to_numpy()
    minute = minutes_of(table.column(1)) - int(start.timestamp()) // 60
    for code, market in enumerate(names.dictionary.to_pylist()):
        rows = np.flatnonzero((codes == code) & (minute >= 0) & (minute < DAY_MINUTES))
        day = found.setdefault(market, MarketDay())
        day.price[minute[rows]] = prices[rows]
        day.known[minute[rows]] = day.collected[minute[rows]] = True


def minutes_of(column: pa.ChunkedArray) -> Ints:
    """Minutes since the epoch of wire strings in UTC."""
    seconds: Ints = pc.cast(pc.cast(column, pa.timestamp("s")), pa.int64()).to_numpy()
    return seconds // 60


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Log prices and collected minutes of markets over consecutive days from `start` (UTC), arrays (markets, minutes).

    `log_price` is that of the last trade before the end of the minute, NaN where it is not known.
    """

    start: datetime
    markets: tuple[str, ...]
    log_price: Floats
    collected: Bools

    @classmethod
    def of_days(cls, first: str, days: Sequence[dict[str, MarketDay]], markets: Iterable[str]) -> Outcomes:
        """Join the minutes of consecutive KST days, the first of which is `first`."""
        names, nothing = tuple(sorted(markets)), MarketDay()
        parts = [[day.get(name, nothing) for day in days] for name in names]
        shape = (len(names), len(days) * DAY_MINUTES)
        price = np.array([[part.price for part in row] for row in parts]).reshape(shape)
        known = np.array([[part.known for part in row] for row in parts]).reshape(shape)
        collected = np.array([[part.collected for part in row] for row in parts]).reshape(shape)
        return cls(day_start(first), names, np.log(_carried(price, known)), collected)

    def index(self, moment: datetime) -> int:
        """The column of the minute that begins at a moment (UTC)."""
        return (moment - self.start) // MINUTE

    def at(self, rows: Ints, minutes: Ints) -> Floats:
        """Log prices of markets (`rows`; -1: unknown market) at minutes since the epoch; NaN where not known."""
        column = minutes - int(self.start.timestamp()) // 60 - 1  # a price at 10:00 is that at the end of 09:59
        inside = (rows >= 0) & (column >= 0) & (column < self.log_price.shape[1])
        found = np.full(len(rows), np.nan)
        found[inside] = self.log_price[rows[inside], column[inside]]
        return found


def _carried(price: Floats, known: Bools) -> Floats:
    """Prices (markets, minutes) carried over minutes without a trade, up to the next minute that is not known."""
    place = np.arange(price.shape[1])
    traded = ~np.isnan(price)
    last = np.maximum.accumulate(np.where(traded, place, -1), axis=1)
    gap = np.maximum.accumulate(np.where(known, -1, place), axis=1)
    carried: Floats = np.take_along_axis(price, np.maximum(last, 0), axis=1)
    return np.where(last > gap, carried, np.nan)
