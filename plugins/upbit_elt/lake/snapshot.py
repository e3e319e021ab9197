"""Write a new snapshot of a day: one sorted file of all rows, compared with its sources before it becomes visible.

The caller holds the day's lease. Compaction, close, repair and backfill of every kind use this module.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from upbit_elt.errors import LakeCorrupt
from upbit_elt.lake import layout, ledger, pending
from upbit_elt.lake.coverage import Coverage
from upbit_elt.lake.layout import Kind
from upbit_elt.lake.lease import Lease
from upbit_elt.lake.parquet import ROW_GROUP, coverage_of, decode, metadata, notes_of, parquet_writer
from upbit_elt.lake.read import latest
from upbit_elt.lake.row_hash import RowHashes, row_hashes, winners
from upbit_elt.lake.table_spec import TableSpec
from upbit_elt.lake.webhdfs import Lake

SAME_ROWS = "same_rows_as"
SOURCES = "sources"


class SnapshotFile(NamedTuple):
    """A file of a snapshot: its name, its rows, and the coverage (of candles only) and notes of its footer."""

    name: str
    table: pa.Table
    coverage: Coverage | None
    notes: Mapping[str, Any]


class Published(NamedTuple):
    """A published file: its KST day, the snapshot's folder, the file's name and its number of rows.

    `lost` are the names of unreadable files that it replaces: minutes that no other file holds must be fetched again.
    """

    day: str
    folder: str
    file_name: str
    rows: int
    lost: tuple[str, ...] = ()


def read_files(lake: Lake, shape: TableSpec, day: str) -> list[SnapshotFile]:
    """Read all files of a day's current snapshot, oldest first. Raises LakeCorrupt when one cannot be read."""
    snapshot = ledger.current(lake, shape.kind, day)
    found = ledger.files(lake, snapshot, day) if snapshot else []
    return [read_source(lake, shape, file) for file in found]


def read_source(lake: Lake, shape: TableSpec, file: ledger.DataFile) -> SnapshotFile:
    """Read one file of a snapshot. Raises LakeCorrupt when it cannot be read."""
    data, name = lake.read(file.path), file.path.rsplit("/", 1)[1]
    coverage = coverage_of(data, file.path) if shape.kind == "candle" else None
    return SnapshotFile(name, decode(data, file.path, shape.schema, shape.added), coverage, notes_of(data, file.path))


def write_snapshot(
    lake: Lake,
    shape: TableSpec,
    day: str,
    name: str,
    tables: Sequence[pa.Table],
    lease: Lease,
    *,
    complete: bool,
    coverage: Coverage | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Published:
    """Write `tables` (oldest first) as one file `name`, compare it with them, and make it the day's newest snapshot.

    A pending marker says that the snapshot has to be registered in Hive: when this process dies first, the next run
    registers it.

    Raises:
        LakeCorrupt: the file read back does not hold what was written; nothing became visible.
        LeaseHeld: the lease was lost; nothing became visible.
    """
    folder = _next_folder(lake, shape.kind, day, complete=complete)
    parent, leaf = folder.rsplit("/", 1)
    hidden = f"{parent}/_{leaf}.{uuid4().hex}"
    lake.publish(f"{hidden}/{name}", _merged(shape, tables, coverage, notes))
    rows = _verify(lake, f"{hidden}/{name}", shape, tables, coverage)
    pending.add(lake, pending.registering(shape.kind, folder))
    lease.check()
    lake.rename(hidden, folder)
    return Published(day, folder, name, rows)


def compaction_notes(
    lake: Lake, shape: TableSpec, day: str, sources: Sequence[SnapshotFile], run: str
) -> dict[str, Any]:
    """The notes of a file that holds exactly the rows of `sources`: a follower need not load these again."""
    snapshot = ledger.current(lake, shape.kind, day)
    same = {SAME_ROWS: snapshot.path.rsplit("/", 1)[1]} if snapshot else {}
    return same | {"run": run, SOURCES: list(lineage(sources))}


def lineage(sources: Sequence[SnapshotFile]) -> Iterator[tuple[str, str]]:
    """Yield the name and run of every published file whose rows the sources hold."""
    for source in sources:
        if SOURCES in source.notes:
            yield from ((name, run) for name, run in source.notes[SOURCES])
        else:
            yield source.name, source.coverage.run if source.coverage else ""


def same_rows(lake: Lake, kind: Kind, day: str, old: str, new: str) -> bool:
    """Whether folder `new` of a day holds the rows of folder `old` in other files, and besides only newer windows.

    False when that is unknown, as when the folders between the two were removed.
    """
    leaf, wanted = new.rsplit("/", 1)[1], old.rsplit("/", 1)[1]
    by_leaf = {g.path.rsplit("/", 1)[1]: g for g in ledger.snapshots(lake, kind, day)}
    while leaf != wanted and leaf in by_leaf:
        leaf = ledger.first_notes(lake, by_leaf[leaf], day).get(SAME_ROWS, "")
    return leaf == wanted


def _next_folder(lake: Lake, kind: Kind, day: str, *, complete: bool) -> str:
    numbers = [g.number for g in ledger.snapshots(lake, kind, day) if g.complete == complete]
    build = layout.complete_folder if complete else layout.live_folder
    return build(lake.root, kind, day, max(numbers, default=0) + 1)


def _merged(
    shape: TableSpec, tables: Sequence[pa.Table], coverage: Coverage | None, notes: Mapping[str, Any] | None
) -> bytes:
    sink = io.BytesIO()
    with parquet_writer(sink, shape.schema, metadata(coverage, notes)) as writer:
        for part in _parts(shape, tables):
            writer.write_table(part, row_group_size=part.num_rows)
    return sink.getvalue()


def _parts(shape: TableSpec, tables: Sequence[pa.Table]) -> Iterator[pa.Table]:
    """Yield the sorted rows, some markets at a time: a whole day of forecasts needs too much memory to sort."""
    runs = [_runs(table) for table in _folded(shape, tables)]
    group: list[str] = []
    size = 0
    for market in sorted({market for found in runs for market in found}):
        group.append(market)
        size += sum(found[market].num_rows for found in runs if market in found)
        if size >= ROW_GROUP:
            yield _sorted(shape, runs, group)
            group, size = [], 0
    if group:
        yield _sorted(shape, runs, group)


def _folded(shape: TableSpec, tables: Sequence[pa.Table]) -> list[pa.Table]:
    """The same rows in fewer tables: small neighbouring tables are merged."""
    groups: list[list[pa.Table]] = []
    for table in tables:
        if not groups or table.num_rows + sum(part.num_rows for part in groups[-1]) > ROW_GROUP:
            groups.append([])
        groups[-1].append(table)
    return [latest(group, shape) if len(group) > 1 else group[0] for group in groups]


def _sorted(shape: TableSpec, runs: Sequence[Mapping[str, pa.Table]], markets: Sequence[str]) -> pa.Table:
    parts = [[found[market] for market in markets if market in found] for found in runs]
    return latest([pa.concat_tables(part) for part in parts if part], shape)


def _runs(table: pa.Table) -> dict[str, pa.Table]:
    """The rows of each market, as slices of the table."""
    if not table.num_rows:
        return {}
    encoded = table.column("market").combine_chunks().dictionary_encode()
    index = encoded.indices.to_numpy()
    starts = [0, *(np.flatnonzero(np.diff(index)) + 1).tolist()]
    names = [encoded.dictionary[int(index[start])].as_py() for start in starts]
    if len(set(names)) < len(names):
        return _runs(table.sort_by("market"))
    return {name: table.slice(a, b - a) for name, a, b in zip(names, starts, [*starts[1:], len(index)], strict=True)}


def _verify(lake: Lake, path: str, shape: TableSpec, tables: Sequence[pa.Table], coverage: Coverage | None) -> int:
    """Read the file back and compare keys, values and coverage with the sources; returns the number of rows."""
    data = lake.read(path)
    file = pq.ParquetFile(io.BytesIO(data))
    rows = int(file.metadata.num_rows)
    wanted = _hashes(shape, tables)
    # One part at a time: the sources are in memory already.
    found = _hashes(shape, (file.read_row_group(number) for number in range(file.num_row_groups)))
    good = rows == len(found[0]) and all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))
    if not good:
        raise LakeCorrupt(
            f"{path}: {rows} rows were read back where {len(wanted[0])} keys went in, or their values differ; "
            "no snapshot was published, and the day's files are unchanged"
        )
    if coverage is not None and coverage_of(data, path).to_json() != coverage.to_json():
        raise LakeCorrupt(f"{path}: its footer does not hold the coverage that was written; no snapshot was published")
    return rows


def _hashes(shape: TableSpec, tables: Iterable[pa.Table]) -> tuple[RowHashes, RowHashes]:
    keys, rows = [], []
    for table in tables:
        keys.append(row_hashes(table, shape.key))
        rows.append(row_hashes(table, shape.schema.names))
    return winners(keys, rows, later_wins=shape.later_wins)
