"""Many candles at once: the Parquet files at Hive's locations, read over WebHDFS."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from upbit_elt.candle import KEY, SCHEMA, days_between, wire
from upbit_elt.lake.parquet import decode
from upbit_elt.lake.read import paths_of_span
from upbit_elt.lake.webhdfs import Lake


def load_candles(lake: Lake, folders: Mapping[str, str], start: datetime, end: datetime) -> pa.Table:
    """Candles with start in [start, end) (UTC) of the days in `folders` (`yyMMdd` to HDFS folder), sorted by KEY.

    Raises:
        LakeUnavailable: HDFS does not answer.
        LakeCorrupt: a file is not a Parquet file of candles, or was removed meanwhile.
    """
    moment = pc.field("candle_date_time_utc")
    inside = (moment >= wire(start)) & (moment < wire(end))
    tables = [
        decode(lake.read(path), path).filter(inside)
        for day in days_between(start, end)
        if day in folders
        for path in paths_of_span(lake, folders[day], start, end)
    ]
    return pa.concat_tables([SCHEMA.empty_table(), *tables]).sort_by([(key, "ascending") for key in KEY])
