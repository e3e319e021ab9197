"""Read a KST day of which a file is unreadable: its block is lost, its bytes are damaged, or they are another file's.

The other files of the day are read as usual. The rows of the unreadable file may still lie in earlier snapshots of the
day, which stay for a while after a compaction; minutes that no file holds become holes with the reason FILE_LOST.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import NamedTuple

from upbit_elt.errors import LakeCorrupt, LakeError
from upbit_elt.holes import HoleReason
from upbit_elt.intervals import overlaps
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.parquet import read_coverage
from upbit_elt.lake.snapshot import SnapshotFile, read_source
from upbit_elt.lake.table_spec import CANDLE
from upbit_elt.lake.webhdfs import Lake

log = logging.getLogger(__name__)


class ReadableFiles(NamedTuple):
    """The readable files of a day, oldest first, those of earlier snapshots before the others; and the unreadable."""

    sources: list[SnapshotFile]
    lost: list[ledger.DataFile]


def readable_files(lake: Lake, day: str, unreadable: Collection[str] = ()) -> ReadableFiles:
    """Read a KST day's current snapshot as far as possible; `unreadable` are paths known to be so, which are not tried.

    Raises:
        LakeTooNew: a newer release wrote a file.
        LakeUnavailable: HDFS does not answer.
    """
    snapshots = ledger.snapshots(lake, "candle", day)
    found = ReadableFiles([], [])
    for file in ledger.files(lake, snapshots[-1], day) if snapshots else []:
        try:
            if file.path in unreadable:
                raise LakeCorrupt(f"{file.path}: could not be read")
            found.sources.append(read_source(lake, CANDLE, file))
        except LakeCorrupt as error:
            log.warning("unreadable, left out of the day: %s", error)
            found.lost.append(file)
    if found.lost:
        found.sources[:0] = [source for older in snapshots[:-1] for source in _salvaged(lake, day, older, found.lost)]
    return found


def lost_coverage(lake: Lake, found: ReadableFiles, run: str, others: Collection[str]) -> list[Coverage]:
    """The spans of the unreadable files, as holes; `run` is the run that names them.

    When the footer cannot be read either, the holes are of all markets of the day's other files, and of `others`.
    """
    markets = {span.market for source in found.sources if source.coverage for span in source.coverage.spans}
    return [_as_holes(lake, file, run, sorted(markets | set(others))) for file in found.lost]


def quarantine_file(lake: Lake, day: str, path: str) -> None:
    """Move an unreadable file to the quarantine folder of its KST day, where people can read it for some days."""
    folder, name = layout.quarantine_folder(lake.root, day), "-".join(path.split("/")[-2:])
    try:
        lake.make_folder(folder)
        lake.rename(path, f"{folder}/unreadable-{name}")
    except LakeError as error:
        log.warning("%s cannot be moved to the quarantine: %s", path, error)


def _salvaged(
    lake: Lake, day: str, snapshot: ledger.Snapshot, lost: Collection[ledger.DataFile]
) -> Iterator[SnapshotFile]:
    for file in ledger.files(lake, snapshot, day):
        if any(overlaps(file, other) for other in lost):
            try:
                yield read_source(lake, CANDLE, file)
            except LakeCorrupt as error:
                log.warning("an older snapshot's file cannot be read either: %s", error)


def _as_holes(lake: Lake, file: ledger.DataFile, run: str, markets: Collection[str]) -> Coverage:
    name = file.path.rsplit("/", 1)[1]
    try:
        known = read_coverage(lake, file.path, file.size)
    except LakeError:
        spans = tuple(_hole(market, file, name) for market in markets)
        return Coverage(file.start, file.end, run, spans)
    spans = tuple(span if span.state == "hole" else _hole(span.market, span, name) for span in known.spans)
    return replace(known, run=run, spans=spans)


def _hole(market: str, span: ledger.DataFile | Span, name: str) -> Span:
    return Span(market, span.start, span.end, "hole", HoleReason.FILE_LOST, name)
