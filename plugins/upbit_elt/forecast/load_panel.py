"""Bulk reading: builds the panel of many days from the Parquet files at the locations of Hive's tables."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from upbit_elt.candle import MINUTE, day_end, day_start, days_between, floor_minute
from upbit_elt.errors import LakeCorrupt
from upbit_elt.forecast.panel import COLUMNS, Panel, PanelBuilder
from upbit_elt.intervals import Interval, difference
from upbit_elt.lake.coverage import Coverage, by_market
from upbit_elt.lake.isolation import isolated
from upbit_elt.lake.layout import parse_window
from upbit_elt.lake.parquet import coverage_of
from upbit_elt.lake.read import paths_of_span
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive
from upbit_elt.warehouse.tables import locations


def load_panel(lake: Lake, hive: Hive, settings: Settings, *, end: datetime, minutes: int) -> Panel:
    """Load the panel of all markets over [end - minutes, end), UTC, with its holes, from the days registered in Hive.

    Every minute that is neither a candle nor empty by the lake's coverage is a hole: failed, left, or never requested.
    Files are read one at a time, so that memory holds the panel and one file. One that cannot be read is logged, and
    its minutes are holes of all markets.
    """
    end = floor_minute(end)
    start = end - minutes * MINUTE
    with hive.session() as session:
        folders = locations(session, settings, "candle", days_between(start, end))
    builder = PanelBuilder(end=end, minutes=minutes)
    for day in days_between(start, end):
        span = Interval(max(start, day_start(day)), min(end, day_end(day)))
        if day in folders:
            _add_day(builder, lake, span, paths_of_span(lake, folders[day], start, end))
        else:
            builder.add_gap(span)
    return builder.build()


def _add_day(builder: PanelBuilder, lake: Lake, day: Interval, paths: Iterable[str]) -> None:
    """Add the candles and holes of a KST day's files to the builder; `day` is its part in the panel."""
    parts: list[Coverage] = []
    troubles: dict[str, str] = {}
    for path in paths:
        with isolated(lake, path, troubles):
            data = lake.read(path)
            coverage = coverage_of(data, path)
            builder.add(_decoded(data, path))
            parts.append(coverage)
    known = by_market(span for part in parts for span in part.known())
    for market in builder.markets | known.keys():
        for start, end in difference([day], known.get(market, ())):
            builder.add_hole(market, Interval(start, end))
    for path in troubles:
        window = parse_window(path.rsplit("/", 1)[1])
        builder.add_gap(Interval(*window) if window else day)


def _decoded(data: bytes, path: str) -> pa.Table:
    try:
        return pq.read_table(pa.BufferReader(data), columns=list(COLUMNS))
    except pa.ArrowException as error:
        raise LakeCorrupt(f"{path}: not a Parquet file of candles: {error}") from error
