"""Stores forecasts: one file per origin, the first write wins; files are compacted later, as those of candles are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from upbit_elt.candle import kst_day, parse_wire, wire
from upbit_elt.clock import Clock, SystemClock
from upbit_elt.errors import LakeConflict, LakeCorrupt
from upbit_elt.forecast.schema import FORECAST, FORECAST_SCHEMA
from upbit_elt.intervals import contains
from upbit_elt.lake import layout, ledger, pending
from upbit_elt.lake.lease import Lease, lease
from upbit_elt.lake.ledger import DataFile, Snapshot
from upbit_elt.lake.parquet import encode, read_notes
from upbit_elt.lake.snapshot import Published, SnapshotFile, compaction_notes, read_files, write_snapshot
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive
from upbit_elt.warehouse.register import DailyTable, register, register_day

ORIGINS = "origins"
# Files of an open day at which it is compacted: twice as many as of candles, as forecasts are five times as large.
MOST_FILES = 30


class Stored(NamedTuple):
    """The forecasts of one origin as they are in the lake, and the name of their file."""

    name: str
    table: pa.Table


def store(lake: Lake, hive: Hive, settings: Settings, table: pa.Table, clock: Clock | None = None) -> Stored | None:
    """Store the forecasts of one origin in the folder of its KST day, and register that day in Hive.

    Gives what was stored, with `issued_utc` set, or None if forecasts of this origin were stored before: those stay.
    `clock` is used for that time and for the lease; the default is the machine's.

    Raises:
        LakeConflict: the origin's day is complete and takes no more forecasts.
        LeaseHeld: another writer holds the day's lease too long.
        ValueError: the table is not of FORECAST_SCHEMA, or not of one origin.
    """
    clock = clock or SystemClock()
    origin = parse_wire(_origin(table))
    day, name = kst_day(origin), f"{layout.stamp(origin)}.parquet"
    with lease(lake, layout.day_folder(lake.root, "forecast", day), clock) as held:
        snapshot = ledger.current(lake, "forecast", day)
        written = not (snapshot and _holds(lake, snapshot, day, layout.stamp(origin)))
        if written:
            if snapshot and snapshot.complete:
                late = f"forecasts of {origin:%H:%M} UTC come too late"
                raise LakeConflict(f"{snapshot.path}: the day is complete, {late}")
            folder = snapshot.path if snapshot else layout.live_folder(lake.root, "forecast", day, 1)
            if not snapshot:
                pending.add(lake, pending.registering("forecast", folder))
            # Only now: waiting for the lease can take longer than the shortest horizon.
            table = _issued(table, clock.now())
            lake.publish(f"{folder}/{name}", encode(table), held.check)
    # Registered also when the origin was stored before: the run that wrote it may have died before this line.
    if snapshot:
        with hive.session() as session:
            register_day(lake, session, settings, "forecast", day, folder=snapshot.path)
    else:
        register(lake, hive, settings, {DailyTable("forecast", day): None})
    return Stored(name, table) if written else None


def compact_day(lake: Lake, day: str, run: str, held: Lease, *, complete: bool) -> Published:
    """Compact all forecasts of a KST day into a snapshot with one file; with `complete` the day accepts no more.

    The caller holds the day's lease.

    Raises:
        LakeCorrupt: the day has no forecasts, or the written file differs from its sources; readers see no change.
    """
    sources = read_files(lake, FORECAST, day)
    origins = sorted({origin for source in sources for origin in _of_source(source)})
    if not origins:
        raise LakeCorrupt(f"{layout.day_folder(lake.root, 'forecast', day)}: no forecasts to compact")
    name = "forecast.parquet" if complete else _name(origins)
    notes = compaction_notes(lake, FORECAST, day, sources, run) | {ORIGINS: origins}
    tables = [source.table for source in sources]
    return write_snapshot(lake, FORECAST, day, name, tables, held, complete=complete, notes=notes)


def needs_compaction(lake: Lake, snapshot: Snapshot, day: str) -> bool:
    """Whether the snapshot of an open day has MOST_FILES files or more, so that it should be compacted."""
    return len(ledger.files(lake, snapshot, day)) >= MOST_FILES


def _holds(lake: Lake, snapshot: Snapshot, day: str, origin: str) -> bool:
    """Whether the snapshot holds an origin (as in file names), in a file of its own or in a compacted one."""
    moment = layout.parse_stamp(origin)
    files = ledger.files(lake, snapshot, day)
    # The span in a compacted file's name says whether its footer has to be read.
    return any(origin in _of_file(lake, file) for file in files if contains(file, moment))


def _of_file(lake: Lake, file: DataFile) -> Iterable[str]:
    name = file.path.rsplit("/", 1)[1].removesuffix(".parquet")
    return [name] if name.isdigit() else _noted(read_notes(lake, file.path, file.size), file.path)


def _of_source(source: SnapshotFile) -> Iterable[str]:
    name = source.name.removesuffix(".parquet")
    return [name] if name.isdigit() else _noted(source.notes, source.name)


def _noted(notes: Mapping[str, Any], path: str) -> list[str]:
    if ORIGINS not in notes:
        raise LakeCorrupt(f"{path}: its footer does not say which forecasts it holds")
    return list(notes[ORIGINS])


def _name(origins: list[str]) -> str:
    return layout.window_name(layout.parse_stamp(origins[0]), layout.parse_stamp(origins[-1]) + timedelta(minutes=1))


def _issued(table: pa.Table, moment: datetime) -> pa.Table:
    column = FORECAST_SCHEMA.get_field_index("issued_utc")
    return table.set_column(column, FORECAST_SCHEMA.field(column), pa.array([wire(moment)] * table.num_rows))


def _origin(table: pa.Table) -> str:
    if table.schema != FORECAST_SCHEMA:
        raise ValueError(f"not a forecast table: its columns are {table.schema.names}")
    origins = pc.unique(table.column("origin")).to_pylist()
    if len(origins) != 1:
        raise ValueError(f"a file holds the forecasts of one origin, got {origins}")
    return str(origins[0])
