"""Make candles visible: a window's file while the day is open, or a whole new generation of a day.

The caller holds the day's lease.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import uuid4

import pyarrow as pa

from upbit_elt.candle import KEY, day_end, day_start
from upbit_elt.errors import LakeConflict, LakeCorrupt
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.coverage import Coverage, Span, merge
from upbit_elt.lake.lease import Lease
from upbit_elt.lake.parquet import decode, encode
from upbit_elt.lake.read import latest, outside, read_sources
from upbit_elt.lake.webhdfs import Lake


class Published(NamedTuple):
    """What became visible: the KST day, the generation's folder, the file's name and its rows."""

    day: str
    folder: str
    file_name: str
    rows: int


def publish_window(lake: Lake, day: str, table: pa.Table, coverage: Coverage, lease: Lease) -> Published:
    """Publish the file of one window of a KST day.

    A day that has a complete generation, or a file of this very window with other rows (a hole of it was healed),
    gets a new generation that includes the window.
    """
    generation = ledger.current(lake, "candle", day)
    if generation and generation.complete:
        return publish_generation(lake, day, table, coverage, lease, complete=True)
    folder = generation.path if generation else layout.live_folder(lake.root, "candle", day, 1)
    name = layout.window_name(coverage.start, coverage.end)
    path = f"{folder}/{name}"
    lease.check()
    try:
        lake.publish(path, encode(table, coverage))
    except LakeConflict:
        if coverage.known() and not decode(lake.read(path), path).equals(table):
            return publish_generation(lake, day, table, coverage, lease, complete=False)
    return Published(day, folder, name, table.num_rows)


def publish_generation(
    lake: Lake,
    day: str,
    table: pa.Table,
    coverage: Coverage,
    lease: Lease,
    *,
    complete: bool,
    replaces: Sequence[Span] = (),
) -> Published:
    """Publish a new generation of a day: all that the current one holds, with `table` added to it.

    Where both hold a key, `table` wins: it was asked for later. In the spans of `replaces` only `table` counts:
    candles of the current generation that it does not hold are left out. Before it becomes visible, it is read back and
    its key set and coverage are compared with the sources.

    Raises:
        LakeCorrupt: what was written does not hold what it should; nothing became visible.
    """
    old, coverages = read_sources(lake, day)
    old = [outside(part, replaces) for part in old]
    merged = latest([*old, table])
    whole = merge([*coverages, coverage], coverage.run).clipped(day_start(day), day_end(day))
    folder = _next_folder(lake, day, complete=complete)
    name = "candle.parquet" if complete else layout.window_name(whole.start, whole.end)
    parent, leaf = folder.rsplit("/", 1)
    hidden = f"{parent}/_{leaf}.{uuid4().hex}"
    lake.publish(f"{hidden}/{name}", encode(merged, whole))
    _verify(lake, f"{hidden}/{name}", merged, [*old, table])
    lease.check()
    lake.rename(hidden, folder)
    return Published(day, folder, name, merged.num_rows)


def _next_folder(lake: Lake, day: str, *, complete: bool) -> str:
    numbers = [g.number for g in ledger.generations(lake, "candle", day) if g.complete == complete]
    build = layout.complete_folder if complete else layout.live_folder
    return build(lake.root, "candle", day, max(numbers, default=0) + 1)


def _verify(lake: Lake, path: str, merged: pa.Table, sources: list[pa.Table]) -> None:
    written = decode(lake.read(path), path)
    keys = pa.concat_tables([source.select(KEY) for source in sources]).group_by(KEY).aggregate([])
    if not written.equals(merged) or written.num_rows != keys.num_rows:
        raise LakeCorrupt(
            f"{path}: {written.num_rows} rows were read back where {keys.num_rows} keys went in; "
            "nothing was switched, the files of before are untouched"
        )
