"""Publish candles: a file for each window while the day is open, or a new snapshot of the whole day.

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

# Each file besides the compacted one costs a one-market query some 10 ms on a busy machine (bench/compaction_bench.py);
# the compaction of a full day takes 3 s. So half an hour's files keep the query under half a second.
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

    The day gets a new snapshot that includes the window, so that no minute is there twice, when it has a complete
    snapshot, files that account for a part of the window (of the backfill, or of a repair), or an unreadable file
    (`unreadable` are paths known to be so).

    Once an open day has `most` files, they are compacted into a new snapshot: a market's query takes longer with every
    file. Queries in progress go on reading the folder that they began with.
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
        compacted = rebuild_snapshot(lake, day, coverage.run, lease, complete=False)
        return Published(day, folder, name, table.num_rows, compacted.lost)
    return Published(day, folder, name, table.num_rows)


def _holds(lake: Lake, path: str, table: pa.Table) -> bool:
    try:
        return bool(decode(lake.read(path), path).equals(table))
    except LakeCorrupt:
        return False


def _overlaps(lake: Lake, found: Sequence[ledger.DataFile], name: str, coverage: Coverage) -> bool:
    """Whether a file other than the window's own accounts for a minute that the window does too.

    A file that cannot be read counts as one that does.
    """
    new = by_market(coverage.known())
    for file in found:
        if file.path.endswith(f"/{name}") or file.end <= coverage.start or file.start >= coverage.end:
            continue
        try:
            stored = read_coverage(lake, file.path, file.size).known()
        except LakeCorrupt:
            return True
        if any(overlaps(span, own) for span in stored for own in new[span.market]):
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
    """Publish a new snapshot of a day: the rows of the current one, with those of `table` added.

    Where both hold a key, the row of `table` counts, as it was requested later. In the spans of `replaces` only `table`
    counts: candles of the current snapshot that it does not hold are left out. A closed day stays closed. Before the
    snapshot becomes visible, it is read back and its keys and coverage are compared with the sources.

    Raises:
        LakeCorrupt: the file read back does not hold what was written; nothing became visible.
    """
    current = ledger.current(lake, "candle", day)
    complete = complete or (current is not None and current.complete)
    found = salvage.readable_files(lake, day, unreadable)
    sources = found.sources
    parts = [source.coverage for source in sources if source.coverage]
    parts += [*salvage.lost_coverage(lake, found, coverage.run, {span.market for span in coverage.spans}), coverage]
    merged = merge(parts, coverage.run).clipped(day_start(day), day_end(day))
    check_merged(parts, merged)
    name = "candle.parquet" if complete else layout.window_name(merged.start, merged.end)
    tables = [outside(source.table, replaces) for source in sources]
    if table.num_rows or replaces or found.lost:
        notes = {SOURCES: [*lineage(sources), (layout.window_name(coverage.start, coverage.end), coverage.run)]}
    else:
        notes = compaction_notes(lake, CANDLE, day, sources, coverage.run)
    published = write_snapshot(
        lake, CANDLE, day, name, [*tables, table], lease, complete=complete, coverage=merged, notes=notes
    )
    for file in found.lost:
        salvage.quarantine_file(lake, day, file.path)
    return published._replace(lost=tuple(file.path.rsplit("/", 1)[1] for file in found.lost))


def rebuild_snapshot(lake: Lake, day: str, run: str, lease: Lease, *, complete: bool) -> Published:
    """Compact the day's files into one file of a new snapshot; with `complete` this closes the day.

    Raises:
        LakeCorrupt: the day has no files, or the file read back does not hold what was written.
    """
    snapshot = ledger.current(lake, "candle", day)
    found = ledger.files(lake, snapshot, day) if snapshot else []
    if not found:
        raise LakeCorrupt(f"{layout.day_folder(lake.root, 'candle', day)}: no file to make a new one from")
    nothing = Coverage(found[0].start, found[0].start, run)
    return publish_snapshot(lake, day, SCHEMA.empty_table(), nothing, lease, complete=complete)


def check_merged(parts: list[Coverage], merged: Coverage) -> None:
    """Raise LakeCorrupt unless the merged coverage accounts for every minute that one of its parts does."""
    start, end = merged.start, merged.end
    known = by_market(merged.known())
    sought = by_market(span for part in parts for span in part.clipped(start, end).known())
    lost = [market for market, spans in sought.items() if union(spans) != union(known[market])]
    if lost:
        raise LakeCorrupt(
            f"the coverage of {', '.join(sorted(lost)[:5])} was lost in merging; no snapshot was published"
        )
