from __future__ import annotations

import json

from tests.support.clock import ManualClock, utc
from tests.support.hdfs import MemoryHdfs
from upbit_elt.exchange.validation import QuarantinedRow
from upbit_elt.lake.quarantine import quarantine
from upbit_elt.lake.webhdfs import Lake


def test_a_row_with_a_lone_surrogate_is_stored_as_received() -> None:
    hdfs = MemoryHdfs(ManualClock(utc(3)))
    row = {"market": "KRW-\ud800", "name\udfff": ["비트코인", "\x00"]}
    rows = [QuarantinedRow("KRW-A", utc(2), utc(2, 1), "market is another", row)]
    (path,) = quarantine(Lake(hdfs.client(), "/replica"), rows, "run")
    kept = hdfs.files()[path]
    assert json.loads(kept)["row"] == row
    assert b"KRW-\\ud800" in kept
    assert "비트코인" in kept.decode()
