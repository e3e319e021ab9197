"""Stored forecasts: one file an origin, the first write wins."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from upbit_elt.candle import kst_day, parse_wire
from upbit_elt.errors import LakeConflict
from upbit_elt.forecast.schema import FORECAST_SCHEMA
from upbit_elt.lake.layout import live_folder, stamp
from upbit_elt.lake.ledger import current
from upbit_elt.lake.parquet import encode
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive
from upbit_elt.warehouse.tables import ensure_day


def store(lake: Lake, hive: Hive, settings: Settings, table: pa.Table) -> str | None:
    """Store the forecasts of one origin in the folder of its KST day, and show that day in Hive.

    Returns the file's name, or None if forecasts of this origin were stored before: those stay.

    Raises:
        LakeConflict: the origin's day is complete and takes no more forecasts.
        ValueError: the table is not of FORECAST_SCHEMA, or not of one origin.
    """
    origin = parse_wire(_origin(table))
    day = kst_day(origin)
    generation = current(lake, "forecast", day)
    if generation and generation.complete:
        raise LakeConflict(f"{generation.path}: the day is complete, forecasts of {origin:%H:%M} UTC come too late")
    folder = generation.path if generation else live_folder(lake.root, "forecast", day, 1)
    name = f"{stamp(origin)}.parquet"
    written = _publish_first(lake, f"{folder}/{name}", encode(table))
    # Also for an origin that was there: the run that wrote it may have died before this line.
    ensure_day(hive, settings, "forecast", day, folder)
    return name if written else None


def _origin(table: pa.Table) -> str:
    if table.schema != FORECAST_SCHEMA:
        raise ValueError(f"not a forecast table: its columns are {table.schema.names}")
    origins = pc.unique(table.column("origin")).to_pylist()
    if len(origins) != 1:
        raise ValueError(f"a file holds the forecasts of one origin, got {origins}")
    return str(origins[0])


def _publish_first(lake: Lake, path: str, data: bytes) -> bool:
    """Publish, unless a file of this name is there."""
    try:
        return lake.publish(path, data)
    except LakeConflict:
        return False
