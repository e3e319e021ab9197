"""The coverage ledger: how every minute of every market is accounted for, from the lake alone.

A minute is a *candle*; *empty* (proven so by reconciliation, requested without a candle in the result, or inactive: the
ticker's last trade was older); or a *hole* with its reason. It is **explained** when the exchange has nothing there:

- `before collection began`: before the first minute that the lake accounts for in any market
- `not listed yet`: before the market's own first span, while others were collected. Every run accounts for each market
  that the exchange lists, from the end of the run before on: a market without a span was not listed (or not wanted)
- `delisted`: the exchange rejects the market for good, or no longer lists it (no span after its watermark)
- `not collected`: live runs do not collect the market, and no backfill was requested there
- `venue outage`: the request failed while no market had a candle for OUTAGE minutes or more, and the exchange said for
  at least half of the markets that there was none

Minutes that may be missing are **unexplained**: `failed request` (the next run requests them again), `quarantined row`
and `late row` (the row failed validation, or did not come yet), `file lost` (a complete day whose folder is empty, or a
file that cannot be read), and `never requested` (no span between the market's first one and its watermark: a file was
lost, or the backfill was not done).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from upbit_elt.candle import KEY, MINUTE, WIRE_FORMAT, day_start, minute_count, split_by_day
from upbit_elt.errors import LakeCorrupt
from upbit_elt.holes import HoleReason
from upbit_elt.intervals import Interval, overlaps
from upbit_elt.lake import ledger
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.parquet import coverage_of, decode, read_coverage
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality import results
from upbit_elt.quality.hours import HOUR

# States of a minute; a higher one replaces a lower one.
UNASKED, HOLE, INACTIVE, EMPTY, PROVEN, CANDLE = range(6)
OUTAGE = 5
OUTAGE_MARKETS = 20  # with fewer, all markets may pause by chance
_READERS = 8
_KEYS = pa.schema([(name, pa.string()) for name in KEY])


class Hole(NamedTuple):
    """A half-open span [start, end) (UTC) of a market that is not known, its reason, and the exchange's words."""

    start: datetime
    end: datetime
    reason: HoleReason
    detail: str = ""

    @property
    def minutes(self) -> int:
        """Its length in minutes."""
        return minute_count(self)

    @property
    def words(self) -> str:
        """The reason in words, with what the exchange or the lake said."""
        said = f"{self.reason.value}: {self.detail}" if self.reason.failed_request else self.detail
        return f"{self.reason.label} ({said})" if said else self.reason.label

    @property
    def explained(self) -> bool:
        """Whether nothing is missing, as the exchange has no data there."""
        return self.reason.explained


@dataclass
class Account:
    """The minutes of one market counted by state, and its holes, oldest first."""

    market: str
    candles: int = 0
    inactive: int = 0
    empty: int = 0
    proven: int = 0
    holes: list[Hole] = field(default_factory=list)

    @property
    def known(self) -> bool:
        """Whether the lake accounts for any of its minutes."""
        return bool(self.candles or self.inactive or self.empty or self.proven)

    def missing(self, *, explained: bool) -> int:
        """The minutes of its explained, or unexplained, holes."""
        return sum(hole.minutes for hole in self.holes if hole.explained is explained)


class Grid(NamedTuple):
    """The states of the minutes from `start` (UTC) within one KST day: a row for each market, a column for each minute.

    `reason` holds an index into `reasons` where a minute is a hole, 0 elsewhere.
    """

    start: datetime
    markets: Sequence[str]
    state: NDArray[np.uint8]
    reason: NDArray[np.int32]
    reasons: Sequence[tuple[HoleReason, str]]


class Accounts(NamedTuple):
    """The accounts of markets over a span, and the outages: spans (UTC) in which no market traded, though requested."""

    accounts: Sequence[Account]
    outages: Sequence[tuple[datetime, datetime]]

    def unexplained(self) -> int:
        """The number of market-minutes that may be missing."""
        return sum(found.missing(explained=False) for found in self.accounts)


def accounts_of(lake: Lake, known: Coverage, start: datetime, end: datetime, markets: Iterable[str] = ()) -> Accounts:
    """Account for the minutes of [start, end) (UTC) by market; without `markets`, of all that live runs ever collected.

    `known` is the newest live coverage (ledger.live_coverage); minutes after its end are left out. One
    day at a time is held in memory.
    """
    chosen = set(markets) or set(known.watermark)
    found = {market: Account(market) for market in sorted(chosen)}
    firsts, silent, end = Firsts(lake), [], min(end, known.end)
    began = min(firsts.began() or end, end)
    if start < began:
        for one in found.values():
            one.holes.append(Hole(start, began, HoleReason.BEFORE_COLLECTION))
    for day, part in split_by_day(Interval(max(start, began), end)):
        grid = grid_of(lake, known, firsts, day, *part, chosen)
        silent += outages(grid)
        for row, market in enumerate(grid.markets):
            if market in found:
                _add(found[market], grid, row)
    return Accounts(list(found.values()), silent)


def grid_of(
    lake: Lake,
    known: Coverage,
    firsts: Firsts,
    day: str,
    start: datetime,
    end: datetime,
    more: Iterable[str] = (),
) -> Grid:
    """The states of the minutes of [start, end) (UTC), a span within the KST day.

    The rows are the markets that live runs collect, and `more`.
    """
    markets = sorted({*known.watermark, *more})
    width = int((end - start) / MINUTE)
    state = np.zeros((len(markets), width), np.uint8)
    reason = np.zeros((len(markets), width), np.int32)
    reasons = _Reasons()
    lost = lost_folder(lake, day)
    never = reasons.number(HoleReason.FILE_LOST, lost) if lost else reasons.number(HoleReason.NOT_REQUESTED)
    grid = Grid(start, markets, state, reason, reasons)
    rows = {market: row for row, market in enumerate(markets)}
    counts: Counter[str] = Counter()
    for keys, coverage in read_keys(lake, day, start, end, markets):
        counts.update({row["values"]: row["counts"] for row in pc.value_counts(keys.column(KEY[0])).to_pylist()})
        for span in coverage.spans:
            _apply(grid, reasons, rows, span)
        _set_candles(grid, rows, keys)
    for left in (recheck for recheck in known.rechecks or () if recheck.state == "left"):
        span = Span(left.market, left.start, left.end, "hole", HoleReason.LEFT_TO_BACKFILL)
        _apply(grid, reasons, rows, span)
    _set_proven(grid, rows, counts, results.read(lake, results.valid(lake, day)), day)
    _name_holes(grid, reasons, known, firsts, never)
    return grid


def lost_folder(lake: Lake, day: str) -> str | None:
    """The folder of a KST day's current snapshot, if that is complete but has no file."""
    snapshot = ledger.current(lake, "candle", day)
    lost = snapshot is not None and snapshot.complete and not ledger.files(lake, snapshot, day)
    return snapshot.path if snapshot and lost else None


class Firsts:
    """The first minute (UTC) that the lake accounts for, by market; reads footers, oldest day first, as far as needed.

    What a lost file accounted for is unknown; it counts as the whole day of every market.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._days = iter(ledger.days(lake, "candle"))
        self._found: dict[str, datetime] = {}
        self._lost: datetime | None = None

    def of(self, market: str) -> datetime | None:
        """The start (UTC) of the market's first span that is not a hole, None when there is none."""
        while market not in self._found and not self._lost and self._read_next():
            pass
        known = [moment for moment in (self._found.get(market), self._lost) if moment]
        return min(known, default=None)

    def began(self) -> datetime | None:
        """The first minute (UTC) of any market, None in an empty lake."""
        while not self._found and not self._lost and self._read_next():
            pass
        return min([*self._found.values(), *([self._lost] if self._lost else [])], default=None)

    def _read_next(self) -> bool:
        day = next(self._days, None)
        snapshot = ledger.current(self._lake, "candle", day) if day else None
        files = ledger.files(self._lake, snapshot, day) if snapshot and day else []
        fresh: dict[str, datetime] = {}
        with ThreadPoolExecutor(_READERS, thread_name_prefix="read") as pool:
            coverages = list(pool.map(self._coverage, files))
        for span in (span for coverage in coverages if coverage for span in coverage.known()):
            fresh[span.market] = min(span.start, fresh.get(span.market, span.start))
        self._found = fresh | self._found
        if day and (None in coverages or lost_folder(self._lake, day)):
            self._lost = self._lost or day_start(day)
        return day is not None

    def _coverage(self, file: ledger.DataFile) -> Coverage | None:
        try:
            return read_coverage(self._lake, file.path, file.size)
        except LakeCorrupt:
            return None


def read_keys(
    lake: Lake, day: str, start: datetime, end: datetime, markets: Sequence[str]
) -> Iterator[tuple[pa.Table, Coverage]]:
    """Yield keys and coverage of the files of a KST day's current snapshot that touch [start, end) (UTC), oldest first.

    A file that cannot be read has no keys, and holes of all `markets`.
    """
    snapshot = ledger.current(lake, "candle", day)
    files = ledger.files(lake, snapshot, day) if snapshot else []
    touched = [file for file in files if overlaps(file, Interval(start, end))]

    def read(file: ledger.DataFile) -> tuple[pa.Table, Coverage]:
        try:
            data = lake.read(file.path)
            return decode(data, file.path, _KEYS), coverage_of(data, file.path)
        except LakeCorrupt as error:
            spans = (Span(name, file.start, file.end, "hole", HoleReason.FILE_LOST, str(error)) for name in markets)
            return _KEYS.empty_table(), Coverage(file.start, file.end, "", tuple(spans))

    with ThreadPoolExecutor(_READERS, thread_name_prefix="read") as pool:
        yield from pool.map(read, touched)


class _Reasons(list[tuple[HoleReason, str]]):
    """The reasons of a grid by number; number 0 is no reason."""

    def __init__(self) -> None:
        super().__init__([(HoleReason.NONE, "")])
        self._numbers: dict[tuple[HoleReason, str], int] = {}

    def number(self, reason: HoleReason, detail: str = "") -> int:
        key = (reason, detail)
        if key not in self._numbers:
            self._numbers[key] = len(self)
            self.append(key)
        return self._numbers[key]


def _apply(grid: Grid, reasons: _Reasons, rows: Mapping[str, int], span: Span) -> None:
    first, last = _columns(grid, span.start, span.end)
    if span.market not in rows or first >= last:
        return
    # NOT_LISTED: the backfill requested it and found no older candle, so the market did not exist yet
    state = "hole" if span.reason is HoleReason.NOT_LISTED else span.state
    row, level = rows[span.market], {"asked": EMPTY, "quiet": INACTIVE, "hole": HOLE}[state]
    part = grid.state[row, first:last]
    np.maximum(part, level, out=part)
    if level == HOLE:
        grid.reason[row, first:last] = reasons.number(span.reason, span.detail)


def _set_candles(grid: Grid, rows: Mapping[str, int], keys: pa.Table) -> None:
    if not keys.num_rows:
        return
    moments = pc.strptime(keys.column(KEY[1]), format=WIRE_FORMAT, unit="s").cast(pa.int64()).to_numpy()
    column = (moments - int(grid.start.timestamp())) // 60
    encoded = pc.dictionary_encode(keys.column(KEY[0]).combine_chunks())
    lines = np.array([rows.get(market, -1) for market in encoded.dictionary.to_pylist()])
    line = lines[encoded.indices.to_numpy()]
    inside = (line >= 0) & (column >= 0) & (column < grid.state.shape[1])
    grid.state[line[inside], column[inside]] = CANDLE


def _set_proven(
    grid: Grid, rows: Mapping[str, int], counts: Mapping[str, int], found: Mapping[str, results.MarketResult], day: str
) -> None:
    """Set the empty minutes of proven hours to PROVEN; a result counts only while the number of candles is the same."""
    for market, market_result in found.items():
        holds = market in rows and market_result.candles == counts.get(market, 0)
        for hour in market_result.proven_hours(day) if holds else ():
            first, last = _columns(grid, hour, hour + HOUR)
            part = grid.state[rows[market], first:last]
            np.maximum(part, PROVEN, out=part)


def _name_holes(grid: Grid, reasons: _Reasons, known: Coverage, firsts: Firsts, never: int) -> None:
    """Set the reason of minutes never requested, and that of an outage for failed requests within one."""
    outage = _outage(grid)
    failed = {number for number, (name, _) in enumerate(reasons) if name.failed_request}
    for row, market in enumerate(grid.markets):
        state, reason = grid.state[row], grid.reason[row]
        reason[state > HOLE] = 0
        hit = outage & (state == HOLE) & np.isin(reason, list(failed))
        for number in np.unique(reason[hit]).tolist():
            reason[hit & (reason == number)] = reasons.number(HoleReason.VENUE_OUTAGE, reasons[number][1])
        if (state == UNASKED).any():
            if market in known.watermark:
                _name_unasked(grid, row, reasons, never, known.watermark[market], firsts.of(market))
            else:
                reason[state == UNASKED] = reasons.number(HoleReason.NOT_COLLECTED)


def _name_unasked(
    grid: Grid, row: int, reasons: _Reasons, never: int, watermark: datetime, first: datetime | None
) -> None:
    unasked, reason = grid.state[row] == UNASKED, grid.reason[row]
    minutes = np.arange(len(unasked))
    reason[unasked] = never
    reason[unasked & (minutes < (_column(grid, first) if first else len(minutes)))] = reasons.number(
        HoleReason.NOT_LISTED
    )
    reason[unasked & (minutes >= _column(grid, watermark))] = reasons.number(HoleReason.DELISTED)


def outages(grid: Grid) -> list[tuple[datetime, datetime]]:
    """The spans (UTC) in which no market traded, though the exchange answered."""
    found = _outage(grid)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], found.astype(np.int8), [0]])))
    return [(grid.start + int(a) * MINUTE, grid.start + int(b) * MINUTE) for a, b in edges.reshape(-1, 2)]


def _outage(grid: Grid) -> NDArray[np.bool_]:
    state, count = grid.state, len(grid.markets)
    known_empty = ((state >= INACTIVE) & (state < CANDLE)).sum(axis=0)
    silent = (state < CANDLE).all(axis=0) & (known_empty * 2 >= count) & (count >= OUTAGE_MARKETS)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], silent.astype(np.int8), [0]])))
    for first, last in edges.reshape(-1, 2):
        if last - first < OUTAGE:
            silent[first:last] = False
    return np.asarray(silent, np.bool_)


def _add(total: Account, grid: Grid, row: int) -> None:
    counts = np.bincount(grid.state[row], minlength=CANDLE + 1)
    total.candles += int(counts[CANDLE])
    total.inactive += int(counts[INACTIVE])
    total.empty += int(counts[EMPTY])
    total.proven += int(counts[PROVEN])
    for hole in _holes(grid, row):
        last = total.holes[-1] if total.holes else None
        if last and last.end == hole.start and (last.reason, last.detail) == (hole.reason, hole.detail):
            total.holes[-1] = last._replace(end=hole.end)
        else:
            total.holes.append(hole)


def _holes(grid: Grid, row: int) -> Iterator[Hole]:
    reason = grid.reason[row]
    edges = [0, *(np.flatnonzero(np.diff(reason)) + 1).tolist(), len(reason)]
    for first, last in pairwise(edges):
        if first < last and reason[first]:
            yield Hole(grid.start + first * MINUTE, grid.start + last * MINUTE, *grid.reasons[reason[first]])


def _columns(grid: Grid, start: datetime, end: datetime) -> tuple[int, int]:
    return max(0, _column(grid, start)), min(grid.state.shape[1], _column(grid, end))


def _column(grid: Grid, moment: datetime) -> int:
    return int((moment - grid.start) / MINUTE)
