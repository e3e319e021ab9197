"""Sum the lake's minutes to hours, and compare them with the exchange's own 60-minute candles.

Prices must be equal. Sums may differ by as much as doubles and the printed digits leave open:

- The exchange prints volumes with 8 decimals and values with 5 (KRW) or 8; each of up to 60 minutes and the hour
  itself is off by half of the last digit at most: (n + 1) / 2 units of it.
- We sum with `math.fsum`, exact to a part in 2^53. How the exchange adds is not known: one by one, k doubles are off
  by k / 2^53 at most (Higham, Accuracy and Stability of Numerical Algorithms, 4.2). RELATIVE leaves room for 9,000.

The smallest order that Upbit accepts (5,000 KRW) is 50,000 times what RELATIVE hides in an hour of 10^11 KRW.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from upbit_elt.candle import WIRE_FORMAT, Candle, wire

HOUR = timedelta(hours=1)
RELATIVE = 1e-12
DIGIT = 1e-8
KRW_VALUE_DIGIT = 1e-5
PRICES = ("opening_price", "high_price", "low_price", "trade_price")
VALUE, VOLUME = "candle_acc_trade_price", "candle_acc_trade_volume"
_NUMBERS = (*PRICES, VALUE, VOLUME)


class Hour(NamedTuple):
    """An hour with trades: prices and value in the quote currency, volume in the base currency.

    `candles` is the number of minute candles it was summed from, 0 for an hour of the exchange.
    """

    opening_price: float
    high_price: float
    low_price: float
    trade_price: float
    candle_acc_trade_price: float
    candle_acc_trade_volume: float
    candles: int = 0


Hours = Mapping[datetime, Hour]


class Difference(NamedTuple):
    """A value of an hour (start, UTC) that differs.

    `field` is its wire name. When only one side has trades in the hour, `field` is `candle` and that side's volume is
    given.
    """

    hour: datetime
    field: str
    ours: float | None
    exchange: float | None

    def to_json(self) -> dict[str, str | float | None]:
        """The fields as JSON values, the hour as a wire string in UTC."""
        return {"hour": wire(self.hour), "field": self.field, "ours": self.ours, "exchange": self.exchange}


class Summed(NamedTuple):
    """A market's day in the lake: its hours with trades, its number of candles, and a digest of all their values."""

    hours: Hours
    candles: int
    digest: str


def sum_up(table: pa.Table) -> dict[str, Summed]:
    """Sum a table of minute candles (SCHEMA) up by market. A minute that is there twice counts twice."""
    table = table.sort_by([("market", "ascending"), ("candle_date_time_utc", "ascending")]).combine_chunks()
    start = _starts(table)
    numbers = np.column_stack([table.column(name).to_numpy() for name in _NUMBERS])
    exact = np.column_stack([start, table.column("timestamp").to_numpy(), numbers.view(np.int64)])
    encoded = pc.dictionary_encode(table.column("market").combine_chunks())
    codes, names = encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
    return {
        names[codes[first]]: Summed(
            _hours(start[first:last], numbers[first:last]),
            last - first,
            hashlib.blake2b(np.ascontiguousarray(exact[first:last]).tobytes(), digest_size=16).hexdigest(),
        )
        for first, last in _runs(codes)
    }


def exchange_hours(candles: Iterable[Candle]) -> dict[datetime, Hour]:
    """The exchange's own 60-minute candles by start (UTC)."""
    return {c.start: Hour(*(getattr(c, name) for name in _NUMBERS)) for c in candles}


def differences(market: str, ours: Hours, exchange: Hours) -> list[Difference]:
    """All values of a market that differ between our hours and the exchange's, oldest hour first."""
    found: list[Difference] = []
    for hour in sorted(ours.keys() | exchange.keys()):
        own, theirs = ours.get(hour), exchange.get(hour)
        if own and theirs:
            found += _differing(market, hour, own, theirs)
        else:
            volumes = (side.candle_acc_trade_volume if side else None for side in (own, theirs))
            found.append(Difference(hour, "candle", *volumes))
    return found


def _differing(market: str, hour: datetime, ours: Hour, exchange: Hour) -> list[Difference]:
    value_digit = KRW_VALUE_DIGIT if market.startswith("KRW-") else DIGIT
    digits = dict.fromkeys(PRICES, 0.0) | {VALUE: value_digit, VOLUME: DIGIT}
    found = []
    for name, digit in digits.items():
        own, theirs = getattr(ours, name), getattr(exchange, name)
        allowed = digit * (ours.candles + 1) / 2 + RELATIVE * abs(theirs) if digit else 0.0
        if not abs(own - theirs) <= allowed:
            found.append(Difference(hour, name, own, theirs))
    return found


def _starts(table: pa.Table) -> NDArray[np.int64]:
    moments = pc.strptime(table.column("candle_date_time_utc"), format=WIRE_FORMAT, unit="s")
    return np.asarray(moments.cast(pa.int64()).to_numpy(), dtype=np.int64)


def _hours(start: NDArray[np.int64], numbers: NDArray[np.float64]) -> dict[datetime, Hour]:
    hour = start // 3600 * 3600
    found = {}
    for first, last in _runs(hour):
        rows = numbers[first:last]
        found[datetime.fromtimestamp(int(hour[first]), UTC)] = Hour(
            opening_price=float(rows[0, 0]),
            high_price=float(rows[:, 1].max()),
            low_price=float(rows[:, 2].min()),
            trade_price=float(rows[-1, 3]),
            candle_acc_trade_price=math.fsum(rows[:, 4].tolist()),
            candle_acc_trade_volume=math.fsum(rows[:, 5].tolist()),
            candles=last - first,
        )
    return found


def _runs(keys: NDArray[np.int64]) -> Iterable[tuple[int, int]]:
    """The half-open index spans of equal neighbours."""
    edges = np.flatnonzero(np.diff(keys)) + 1
    bounds = [0, *edges.tolist(), len(keys)]
    return pairwise(bounds) if len(keys) else ()
