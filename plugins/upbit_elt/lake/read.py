"""Read candles from the lake."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from upbit_elt.candle import WIRE_FORMAT, day_end, day_start, wire
from upbit_elt.intervals import Interval, overlaps
from upbit_elt.lake import ledger
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.layout import parse_window
from upbit_elt.lake.parquet import coverage_of, decode
from upbit_elt.lake.table_spec import CANDLE, TableSpec
from upbit_elt.lake.webhdfs import Entry, Lake


def read_sources(
    lake: Lake, day: str, start: datetime | None = None, end: datetime | None = None
) -> tuple[list[pa.Table], list[Coverage]]:
    """The tables and coverages of the files of a KST day's current snapshot, oldest first.

    With `start` and `end` (UTC) only files whose span touches [start, end) are read, and only their rows within it are
    returned: a compacted day is one large file.
    """
    snapshot = ledger.current(lake, "candle", day)
    start, end = start or day_start(day), end or day_end(day)
    moment = pc.field("candle_date_time_utc")
    inside = (moment >= wire(start)) & (moment < wire(end))
    tables, coverages = [], []
    for file in ledger.files(lake, snapshot, day) if snapshot else []:
        if overlaps(file, Interval(start, end)):
            data = lake.read(file.path)
            table = decode(data, file.path)
            tables.append(table if start <= file.start and file.end <= end else table.filter(inside))
            coverages.append(coverage_of(data, file.path))
    return tables, coverages


def read_day(lake: Lake, day: str) -> pa.Table:
    """The candles of a KST day's current snapshot (SCHEMA, sorted by key); empty when there is none."""
    return latest(read_sources(lake, day)[0])


def paths_of_span(lake: Lake, folder: str, start: datetime, end: datetime) -> list[str]:
    """The files in a leaf folder that Hive reads and that may, by their names, touch [start, end) (UTC)."""
    return [f"{folder}/{entry.name}" for entry in lake.list(folder) if _touches(entry, start, end)]


def _touches(entry: Entry, start: datetime, end: datetime) -> bool:
    if entry.is_dir or entry.name.startswith(("_", ".")):
        return False
    span = parse_window(entry.name)
    return span is None or (span[0] < end and span[1] > start)


def outside(table: pa.Table, spans: Sequence[Span]) -> pa.Table:
    """The candles that lie in no span of their market."""
    if not spans:
        return table
    market = table.column("market").combine_chunks().dictionary_encode()
    codes, names = market.indices.to_numpy(), market.dictionary.to_pylist()
    moment = pc.strptime(table.column("candle_date_time_utc"), format=WIRE_FORMAT, unit="s").cast(pa.int64()).to_numpy()
    remaining = np.ones(table.num_rows, dtype=bool)
    for code, name in enumerate(names):
        rows = np.flatnonzero(codes == code)
        for span in (span for span in spans if span.market == name):
            start, end = span.start.timestamp(), span.end.timestamp()
            remaining[rows[(moment[rows] >= start) & (moment[rows] < end)]] = False
    return table.filter(pa.array(remaining))


def latest(tables: Sequence[pa.Table], shape: TableSpec = CANDLE) -> pa.Table:
    """Merge tables, oldest first, into one with each key once, sorted by key; `shape` says which row of a key wins."""
    if not tables:
        return shape.schema.empty_table()
    names, step = shape.schema.names, -1 if shape.later_wins else 1
    numbered = [
        t.select(names).append_column("_age", pa.array(np.full(t.num_rows, step * i, np.int32)))
        for i, t in enumerate(tables)
    ]
    table = pa.concat_tables(numbered).sort_by([(name, "ascending") for name in [*shape.key, "_age"]]).combine_chunks()
    if table.num_rows < 2:
        return table.select(names)
    same = [pc.equal(table.column(name)[1:], table.column(name)[:-1]) for name in shape.key]
    first = pa.chunked_array([pa.array([True]), *pc.invert(reduce(pc.and_, same)).chunks])
    return table.filter(first).select(names)
