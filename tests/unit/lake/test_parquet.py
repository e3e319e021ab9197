from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.clock import ManualClock, utc
from tests.support.exchange import minute_row
from tests.support.hdfs import MemoryHdfs
from upbit_elt.candle import Candle, day_start, to_table
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.lease import lease
from upbit_elt.lake.parquet import coverage_of, decode, encode
from upbit_elt.lake.publish import publish_snapshot, publish_window
from upbit_elt.lake.read import latest, read_sources
from upbit_elt.lake.webhdfs import Lake

DAY = "261124"
QUIET = Coverage(utc(3), utc(3, 2), "run", (Span("KRW-A", utc(3), utc(3, 2), "quiet"),), {"KRW-A": utc(3, 2)})


def candle(minute: int) -> Candle:
    return Candle(**minute_row("KRW-A", utc(3, minute)))


def test_a_file_without_rows_has_no_row_group_and_says_what_it_covers() -> None:
    data = encode(to_table([]), QUIET)
    assert pq.read_metadata(io.BytesIO(data)).num_row_groups == 0
    assert pq.read_table(io.BytesIO(data)).schema.names == to_table([]).schema.names
    assert decode(data, "a file").num_rows == 0
    assert coverage_of(data, "a file") == QUIET
    assert pq.read_metadata(io.BytesIO(encode(to_table([candle(0)]), QUIET))).num_row_groups == 1


def test_days_are_made_and_read_of_files_without_rows() -> None:
    clock = ManualClock(utc(4))
    hdfs = MemoryHdfs(clock)
    lake = Lake(hdfs.client(), "/replica")
    with lease(lake, f"/replica/candle/{DAY}", clock) as held:
        publish_window(lake, DAY, to_table([]), QUIET, held)
        made = publish_snapshot(lake, DAY, to_table([]), QUIET, held, complete=False)
    assert made.rows == 0
    merged = hdfs.files()[f"{made.folder}/{made.file_name}"]
    assert pq.read_metadata(io.BytesIO(merged)).num_row_groups == 0
    tables, _ = read_sources(lake, DAY, day_start(DAY), utc(4))
    assert latest(tables).num_rows == 0
    with lease(lake, f"/replica/candle/{DAY}", clock) as held:
        publish_window(lake, DAY, to_table([candle(3)]), Coverage(utc(3, 3), utc(3, 4), "run", (), {}), held)
    tables, _ = read_sources(lake, DAY, day_start(DAY), utc(4))
    assert latest(tables).column("market").combine_chunks() == pa.array(["KRW-A"])
