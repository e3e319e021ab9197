"""Reads many candles at once: the Parquet files at Hive's locations, over WebHDFS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from upbit_elt.candle import KEY, SCHEMA, days_between, wire
from upbit_elt.lake.isolation import isolated
from upbit_elt.lake.parquet import decode
from upbit_elt.lake.read import paths_of_span
from upbit_elt.lake.webhdfs import Lake

Folders = Mapping[str, str]


def load_candles(lake: Lake, folders: Folders, start: datetime, end: datetime) -> pa.Table:
    """Candles with start in [start, end) (UTC) of the days in `folders` (`yyMMdd` to HDFS folder), sorted by KEY.

    Raises:
        LakeUnavailable: HDFS does not answer.
        LakeCorrupt: a file is not a Parquet file of candles, or was removed meanwhile.
    """
    return _joined(_read(lake, path, start, end) for path in _paths(lake, folders, start, end))


def load_readable(lake: Lake, folders: Folders, start: datetime, end: datetime) -> pa.Table:
    """Load as `load_candles` does, but skip files that cannot be read: each is logged, and live runs replace it.

    Raises:
        LakeUnavailable: HDFS does not answer.
    """
    tables: list[pa.Table] = []
    for path in _paths(lake, folders, start, end):
        with isolated(lake, path, {}):
            tables.append(_read(lake, path, start, end))
    return _joined(tables)


def _paths(lake: Lake, folders: Folders, start: datetime, end: datetime) -> Iterator[str]:
    for day in days_between(start, end):
        if day in folders:
            yield from paths_of_span(lake, folders[day], start, end)


def _read(lake: Lake, path: str, start: datetime, end: datetime) -> pa.Table:
    moment = pc.field("candle_date_time_utc")
    return decode(lake.read(path), path).filter((moment >= wire(start)) & (moment < wire(end)))


def _joined(tables: Iterable[pa.Table]) -> pa.Table:
    return pa.concat_tables([SCHEMA.empty_table(), *tables]).sort_by([(key, "ascending") for key in KEY])
