"""Candles of one market as NumPy columns, the form in which the replica computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upbit_elt.replica.noise import Floats, Ints

DAY = 86_400
MINUTE = 60


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Columns of equal length, oldest first; an interval without a trade has no row.

    `start` is in seconds since the epoch (UTC), `timestamp` (last tick) in ms since the epoch, `volume` is the
    base sum and `quote` the quote sum.
    """

    start: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    timestamp: Ints
    quote: Floats
    volume: Floats

    def __len__(self) -> int:
        return len(self.start)

    @property
    def columns(self) -> tuple[NDArray[np.generic], ...]:
        """All columns, in the order of the fields."""
        return (
            self.start,
            self.open,
            self.high,
            self.low,
            self.close,
            self.timestamp,
            self.quote,
            self.volume,
        )

    def take(self, rows: slice | NDArray[np.bool_] | Ints) -> Bars:
        """The rows that a slice, a mask or an index array selects."""
        return Bars(*(column[rows] for column in self.columns))  # type: ignore[arg-type]

    def between(self, start: int, end: int) -> Bars:
        """The rows that start in [start, end), seconds since the epoch."""
        first, last = np.searchsorted(self.start, (start, end))
        return self.take(slice(int(first), int(last)))


EMPTY = Bars(*(np.empty(0, dtype) for dtype in "qddddqdd"))


def concat(parts: Sequence[Bars]) -> Bars:
    """Join the rows of several spans, which are given oldest first."""
    filled = [part for part in parts if len(part)]
    if len(filled) < 2:
        return filled[0] if filled else EMPTY
    columns = zip(*(part.columns for part in filled), strict=True)
    return Bars(*(np.concatenate(column) for column in columns))


def group(bars: Bars, keys: Ints) -> Bars:
    """Aggregate each run of equal `keys` into one row, whose `start` is the key.

    `keys` has one value per row, in seconds since the epoch.
    """
    if not len(bars):
        return EMPTY
    first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    last = np.append(first[1:], len(keys)) - 1
    return Bars(
        start=keys[first],
        open=bars.open[first],
        high=np.maximum.reduceat(bars.high, first),
        low=np.minimum.reduceat(bars.low, first),
        close=bars.close[last],
        timestamp=np.maximum.reduceat(bars.timestamp, first),
        quote=np.add.reduceat(bars.quote, first),
        volume=np.add.reduceat(bars.volume, first),
    )
