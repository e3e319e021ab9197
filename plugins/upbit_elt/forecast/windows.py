"""Statistics over windows for a block of markets, computed as differences of running sums."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from upbit_elt.forecast.panel import Bools, Floats, Ints, Panel
from upbit_elt.forecast.schema import HORIZONS


class Block:
    """Some markets of a panel at some origins; every result has the shape (markets, rows) unless noted.

    Row i stands for the origin at the end of minute i. Windows end with that minute and are cut to the market's
    known history; means are over the minutes that are data (Panel.covered) and no holes of the market.
    """

    def __init__(self, panel: Panel, markets: slice, rows: Ints) -> None:
        self.first = panel.first[markets, None]
        self.rows = rows
        self.log: Floats = np.log(panel.close.T[markets])
        self.traded = panel.traded.T[markets]
        self.volume = panel.volume.T[markets]
        self._high, self._low = panel.high.T[markets], panel.low.T[markets]
        missing = panel.missing.T[markets]
        self._data = panel.covered & ~missing if missing.any() else panel.covered[None]
        self._count = np.zeros((len(self._data), self.log.shape[1] + 1), dtype=np.int64)
        np.cumsum(self._data, axis=1, out=self._count[:, 1:])

    @cached_property
    def steps(self) -> Floats:
        """Log return of each minute; zero up to the first known price and after a hole. Shape (markets, minutes)."""
        steps: Floats = np.nan_to_num(np.diff(self.log, axis=1, prepend=np.nan))
        steps[:, 1:] *= self._data[:, :-1]  # after a hole it is the return of more than a minute
        return steps

    @cached_property
    def span(self) -> Floats:
        """ln(high / low) of each minute; zero where nothing was traded. Shape (markets, minutes)."""
        return np.where(self.traded, np.log(self._high / self._low), np.float32(0.0))

    def now(self, values: Floats) -> Floats:
        """Values (markets, minutes) of the last minute before each origin."""
        return values[:, self.rows]

    def change(self, lag: int) -> Floats:
        """Log return over the last `lag` minutes."""
        before = np.clip(self.rows - lag, self.first, self.log.shape[1] - 1)
        return self.now(self.log) - np.take_along_axis(self.log, before, axis=1)

    def means(self, values: Floats | Bools, *windows: int) -> list[Floats]:
        """Mean of `values` (markets, minutes) over each window (minutes)."""
        total = np.zeros((values.shape[0], values.shape[1] + 1))
        np.cumsum(np.where(self._data, np.nan_to_num(values), 0), axis=1, out=total[:, 1:])
        lows = [np.clip(self.rows + 1 - window, self.first, self.rows + 1) for window in windows]
        sums = [total[:, self.rows + 1] - np.take_along_axis(total, low, axis=1) for low in lows]
        count = np.broadcast_to(self._count, total.shape)
        counts = [count[:, self.rows + 1] - np.take_along_axis(count, low, axis=1) for low in lows]
        return [part / np.maximum(number, 1) for part, number in zip(sums, counts, strict=True)]

    def roots(self, values: Floats, *windows: int) -> list[Floats]:
        """Root of the mean square of `values` over each window."""
        return [np.sqrt(np.maximum(mean, 0.0)) for mean in self.means(np.square(values), *windows)]

    def past_moves(self, market: int, window: int) -> Floats:
        """Root mean squares over the window of one market's log returns over each horizon, shape (rows, horizons)."""
        log, first = self.log[market], min(int(self.first[market, 0]), self.log.shape[1] - 1)
        data = self._data[market % len(self._data)]
        low = np.clip(self.rows + 1 - window, first, self.rows + 1)
        found = np.empty((self.rows.size, len(HORIZONS)))
        for number, horizon in enumerate(HORIZONS):
            before = log[np.maximum(np.arange(log.size) - horizon, first)]
            squares = np.where(data, np.nan_to_num(log - before) ** 2, 0)
            total, count = (np.concatenate([[0], np.cumsum(part)]) for part in (squares, data))
            found[:, number] = (total[self.rows + 1] - total[low]) / np.maximum(count[self.rows + 1] - count[low], 1)
        return np.sqrt(np.maximum(found, 0))

    def extremes(self, window: int) -> tuple[Floats, Floats]:
        """Logs of the highest and the lowest price over the window."""
        minutes = np.maximum(self.rows[:, None] - np.arange(window), 0)
        high = np.fmax.reduce(self._high[:, minutes], axis=2)
        low = np.fmin.reduce(self._low[:, minutes], axis=2)
        return np.log(high, dtype=np.float64), np.log(low, dtype=np.float64)
