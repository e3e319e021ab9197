"""Make candles visible: a window's file while the day is open, or a whole new snapshot of a day.

The caller holds the day's lease.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pyarrow as pa

from upbit_elt.candle import SCHEMA, day_end, day_start
from upbit_elt.errors import LakeConflict, LakeCorrupt
from upbit_elt.intervals import overlaps, union
from upbit_elt.lake import layout, ledger, pending, salvage
from upbit_elt.lake.coverage import Coverage, Span, by_market, merge
from upbit_elt.lake.lease import Lease
from upbit_elt.lake.parquet import decode, encode, read_coverage
from upbit_elt.lake.read import outside
from upbit_elt.lake.snapshot import SOURCES, Published, compaction_notes, lineage, write_snapshot
from upbit_elt.lake.table_spec import CANDLE
from upbit_elt.lake.webhdfs import Lake

__all__ = ["Published", "publish_snapshot", "publish_window", "rebuild_snapshot"]

# Each file beside the big one costs a one-market query some 10 ms on a busy machine (bench/rollup_bench.py); the
# roll-up of a full day costs 3 s. So half an hour's files keep the query under half a second.
MOST_FILES = 15


def publish_window(
    lake: Lake,
    day: str,
    table: pa.Table,
    coverage: Coverage,
    lease: Lease,
    *,
    most: int = MOST_FILES,
    unreadable: Collection[str] = (),
) -> Published:
    """Publish the file of one window of a KST day.

    A day that has a complete snapshot, or files that account for a part of the window (history that was there first,
    a hole of it that was healed), or an unreadable file (`unreadable`: paths that are known to be so), gets a new
    snapshot that includes the window: no minute is there twice.

    Once an open day has `most` files, they are made one in a new snapshot: a market's query takes longer with every
    file. Readers in the middle of one keep the folder that they began with.
    """
    snapshot = ledger.current(lake, "candle", day)
    if snapshot and snapshot.complete:
        return publish_snapshot(lake, day, table, coverage, lease, complete=True, unreadable=unreadable)
    folder = snapshot.path if snapshot else layout.live_folder(lake.root, "candle", day, 1)
    if not snapshot:
        pending.add(lake, pending.registering("candle", folder))
    name = layout.window_name(coverage.start, coverage.end)
    path = f"{folder}/{name}"
    found = ledger.files(lake, snapshot, day) if snapshot else []
    damaged = any(file.path in unreadable for file in found)
    if damaged or _overlaps(lake, found, name, coverage):
        return publish_snapshot(lake, day, table, coverage, lease, complete=False, unreadable=unreadable)
    try:
        lake.publish(path, encode(table, coverage), lease.check)
    except LakeConflict:
        if coverage.known() and not _holds(lake, path, table):
            return publish_snapshot(lake, day, table, coverage, lease, complete=False)
    if len({path, *(file.path for file in found)}) >= most:
        made = rebuild_snapshot(lake, day, coverage.run, lease, complete=False)
        return Published(day, folder, name, table.num_rows, made.lost)
    return Published(day, folder, name, table.num_rows)


def _holds(lake: Lake, path: str, table: pa.Table) -> bool:
    try:
        return bool(decode(lake.read(path), path).equals(table))
    except LakeCorrupt:
        return False


def _overlaps(lake: Lake, found: Sequence[ledger.DataFile], name: str, coverage: Coverage) -> bool:
    """Whether one of the files, but for that of the window itself, accounts for a minute that the window does too.

    Or may do so: it cannot be read.
    """
    mine = by_market(coverage.known())
    for file in found:
        if file.path.endswith(f"/{name}") or file.end <= coverage.start or file.start >= coverage.end:
            continue
        try:
            theirs = read_coverage(lake, file.path, file.size).known()
        except LakeCorrupt:
            return True
        if any(overlaps(span, own) for span in theirs for own in mine[span.market]):
            return True
    return False


def publish_snapshot(
    lake: Lake,
    day: str,
    table: pa.Table,
    coverage: Coverage,
    lease: Lease,
    *,
    complete: bool,
    replaces: Sequence[Span] = (),
    unreadable: Collection[str] = (),
) -> Published:
    """Publish a new snapshot of a day: all that the current one holds, with `table` added to it.

    Where both hold a key, `table` wins: it was asked for later. In the spans of `replaces` only `table` counts:
    candles of the current snapshot that it does not hold are left out. A closed day stays closed. Before it becomes
    visible, it is read back and its key set and coverage are compared with the sources.

    Raises:
        LakeCorrupt: what was written does not hold what it should; nothing became visible.
    """
    current = ledger.current(lake, "candle", day)
    complete = complete or (current is not None and current.complete)
    found = salvage.read_day(lake, day, unreadable)
    sources = found.sources
    parts = [source.coverage for source in sources if source.coverage]
    parts += [*salvage.lost_coverage(lake, found, coverage.run, {span.market for span in coverage.spans}), coverage]
    merged = merge(parts, coverage.run).clipped(day_start(day), day_end(day))
    _check_merged(parts, merged)
    name = "candle.parquet" if complete else layout.window_name(merged.start, merged.end)
    tables = [outside(source.table, replaces) for source in sources]
    if table.num_rows or replaces or found.lost:
        notes = {SOURCES: [*lineage(sources), (layout.window_name(coverage.start, coverage.end), coverage.run)]}
    else:
        notes = compaction_notes(lake, CANDLE, day, sources, coverage.run)
    made = write_snapshot(
        lake, CANDLE, day, name, [*tables, table], lease, complete=complete, coverage=merged, notes=notes
    )
    for file in found.lost:
        salvage.quarantine_file(lake, day, file.path)
    return made._replace(lost=tuple(file.path.rsplit("/", 1)[1] for file in found.lost))


def rebuild_snapshot(lake: Lake, day: str, run: str, lease: Lease, *, complete: bool) -> Published:
    """One file of all that the day's files hold, nothing added; with `complete` the day is closed by it.

    Raises:
        LakeCorrupt: the day has no files, or what was written does not hold what they do.
    """
    snapshot = ledger.current(lake, "candle", day)
    found = ledger.files(lake, snapshot, day) if snapshot else []
    if not found:
        raise LakeCorrupt(f"{layout.day_folder(lake.root, 'candle', day)}: no file to make a new one from")
    nothing = Coverage(found[0].start, found[0].start, run)
    return publish_snapshot(lake, day, SCHEMA.empty_table(), nothing, lease, complete=complete)


def _check_merged(parts: list[Coverage], merged: Coverage) -> None:
    """The coverage of the whole accounts for every minute that a part does."""
    start, end = merged.start, merged.end
    known = by_market(merged.known())
    sought = by_market(span for part in parts for span in part.clipped(start, end).known())
    lost = [market for market, spans in sought.items() if union(spans) != union(known[market])]
    if lost:
        raise LakeCorrupt(f"the coverage of {', '.join(sorted(lost)[:5])} was lost in merging; nothing was switched")
