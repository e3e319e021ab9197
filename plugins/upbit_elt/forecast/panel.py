"""The panel: candles in dense arrays, one cell per market and minute, with empty minutes filled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from upbit_elt.candle import MINUTE, floor_minute
from upbit_elt.intervals import Bounded

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

FIELDS = {"close": "trade_price", "high": "high_price", "low": "low_price", "volume": "candle_acc_trade_volume"}
KINDS = {"close": np.float64, "high": np.float32, "low": np.float32, "volume": np.float32}
BUSY = 5
"""With fewer markets trading in a usual minute, none may have traded by chance; with as many, that is an outage."""
COLUMNS = ("market", "candle_date_time_utc", *FIELDS.values())
"""The candle columns from which a panel is built."""


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Candles of all markets over [end - minutes, end), arrays of shape (minutes, markets).

    A minute without a trade carries the last price forward (high = low = close) with zero volume. Before a
    market's first price in the window its prices are NaN and its volume is zero. `high` and `low` are float32,
    because only their ratios are used. `missing` marks holes: the price carried forward there may be wrong.
    """

    markets: tuple[str, ...]
    end: datetime
    close: Floats
    high: Floats
    low: Floats
    volume: Floats
    traded: Bools
    missing: Bools

    @classmethod
    def from_table(cls, table: pa.Table, *, end: datetime, minutes: int) -> Panel:
        """Build a panel from a table with the columns in COLUMNS; rows outside of the window are ignored.

        `end` is UTC-aware and exclusive. Of two rows with the same market and minute the later one counts.
        """
        builder = PanelBuilder(end=end, minutes=minutes)
        builder.add(table)
        return builder.build()

    @property
    def minutes(self) -> int:
        """Length of the window in minutes."""
        return int(self.close.shape[0])

    @property
    def start(self) -> datetime:
        """First minute of the window, UTC."""
        return self.end - self.minutes * MINUTE

    @property
    def covered(self) -> Bools:
        """Mask (minutes,) of the minutes that are data: any market traded, or none did and that is no outage.

        Without a trade it is an outage when BUSY markets or more traded in a minute with trades, on average so far. It
        is not loaded when no price is known yet, or all are holes.
        """
        traders = self.traded.sum(axis=1)
        covered: Bools = traders > 0
        usual = np.cumsum(traders) / np.maximum(np.cumsum(covered), 1)
        pause = np.flatnonzero(~covered & (usual < BUSY))
        covered[pause] = (~self.missing[pause] & ~np.isnan(self.close[pause])).any(axis=1)
        return covered

    @property
    def first(self) -> Ints:
        """Index (markets,) of the first minute with a known price; equal to `minutes` where there is none."""
        known = ~np.isnan(self.close)
        return np.where(known.any(axis=0), known.argmax(axis=0), self.minutes).astype(np.int64)

    def tail(self, minutes: int) -> Panel:
        """The last `minutes` minutes, sharing memory; prices that were carried forward stay."""
        return self._cut(slice(max(self.minutes - minutes, 0), None), self.end)

    def until(self, end: datetime) -> Panel:
        """The part before `end` (UTC, exclusive), sharing memory."""
        end = max(min(floor_minute(end), self.end), self.start)
        return self._cut(slice(0, (end - self.start) // MINUTE), end)

    def only(self, markets: Collection[str]) -> Panel:
        """The same minutes, with only those markets that are in `markets`."""
        pick = [number for number, name in enumerate(self.markets) if name in markets]
        names = tuple(self.markets[number] for number in pick)
        close, high, low, volume = (field[:, pick] for field in (self.close, self.high, self.low, self.volume))
        return Panel(names, self.end, close, high, low, volume, self.traded[:, pick], self.missing[:, pick])

    def _cut(self, part: slice, end: datetime) -> Panel:
        close, high, low, volume = (field[part] for field in (self.close, self.high, self.low, self.volume))
        return Panel(self.markets, end, close, high, low, volume, self.traded[part], self.missing[part])


class PanelBuilder:
    """Collects any number of candle tables, in any order, into one panel without keeping the tables."""

    def __init__(self, *, end: datetime, minutes: int) -> None:
        self._end = floor_minute(end)
        self._minutes = minutes
        self._rows: dict[str, dict[str, Floats]] = {field: {} for field in KINDS}
        self._holes: dict[str, list[Bounded]] = defaultdict(list)
        self._gaps: list[Bounded] = []

    @property
    def markets(self) -> frozenset[str]:
        """The markets of which rows were added."""
        return frozenset(self._rows["close"])

    def add(self, table: pa.Table) -> None:
        """Add the rows inside of the window; a row with the same market and minute is overwritten."""
        for batch in table.select(COLUMNS).to_batches(max_chunksize=1 << 18):
            self._add(batch)

    def add_hole(self, market: str, span: Bounded) -> None:
        """Add a hole of a market; minutes with a candle stay known."""
        self._holes[market].append(span)

    def add_gap(self, span: Bounded) -> None:
        """Add a hole of all markets; minutes with a candle stay known."""
        self._gaps.append(span)

    def _add(self, batch: pa.RecordBatch) -> None:
        seconds = pc.cast(pc.cast(batch.column(1), pa.timestamp("s")), pa.int64()).to_numpy(zero_copy_only=False)
        start = int((self._end - self._minutes * MINUTE).timestamp())
        minute = (seconds - start) // 60
        inside = (minute >= 0) & (minute < self._minutes)
        names = pc.dictionary_encode(batch.column(0))
        code = names.indices.to_numpy(zero_copy_only=False)
        order = np.argsort(code, kind="stable")
        order = order[inside[order]]
        cuts = np.searchsorted(code[order], np.arange(1, len(names.dictionary)))
        parts = list(zip(names.dictionary.to_pylist(), np.split(order, cuts), strict=True))
        for field, column in FIELDS.items():
            values = batch.column(column).to_numpy(zero_copy_only=False)
            for name, pick in parts:
                self._cells(field, name)[minute[pick]] = values[pick]

    def _cells(self, field: str, market: str) -> Floats:
        cells = self._rows[field]
        if market not in cells:
            cells[market] = np.full(self._minutes, np.nan, dtype=KINDS[field])
        return cells[market]

    def build(self) -> Panel:
        """The filled panel, markets in alphabetical order. The builder is empty afterwards."""
        names = tuple(sorted(self._rows["close"]))
        close, high, low, volume = (self._stack(field, names) for field in KINDS)
        traded = ~np.isnan(close)
        _carry_forward(close, traded)
        for price in (high, low):
            np.copyto(price, close, where=~traded, casting="same_kind")
        volume[~traded] = 0.0
        return Panel(names, self._end, close.T, high.T, low.T, volume.T, traded.T, self._missing(names, traded).T)

    def _missing(self, names: Sequence[str], traded: Bools) -> Bools:
        holes, self._holes = self._holes, defaultdict(list)
        gaps, self._gaps = self._gaps, []
        if not gaps and not holes.keys() & set(names):
            return np.broadcast_to(np.False_, traded.shape)  # takes no memory
        start, missing = self._end - self._minutes * MINUTE, np.zeros(traded.shape, dtype=np.bool_)
        for row, name in enumerate(names):
            for span in (*holes.get(name, ()), *gaps):
                first, last = ((moment - start) // MINUTE for moment in (span.start, span.end))
                missing[row, max(first, 0) : max(last, 0)] = True
        return missing & ~traded

    def _stack(self, field: str, names: tuple[str, ...]) -> Floats:
        """Move one field out of the builder into an array (markets, minutes), so that only one field is held twice."""
        cells, self._rows[field] = self._rows[field], {}
        stacked: Floats = np.empty((len(names), self._minutes), dtype=KINDS[field])
        for row, name in enumerate(names):
            stacked[row] = cells[name]
        return stacked


def _carry_forward(close: Floats, traded: Bools) -> None:
    """Replace NaN by the last value before it, row by row, in place."""
    for price, known in zip(close, traded, strict=True):
        last = np.maximum.accumulate(np.where(known, np.arange(price.size), 0))
        price[:] = price[last]
