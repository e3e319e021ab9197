from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.clock import ManualClock, utc
from tests.support.exchange import minute_row
from tests.support.hdfs import MemoryHdfs
from upbit_elt.backfill.old_files import TIMELESS, adopt, began, survey
from upbit_elt.candle import SCHEMA
from upbit_elt.errors import BadFile, ConfigError
from upbit_elt.lake.webhdfs import Lake

SAVED = datetime.fromisoformat("2024-04-04T08:10:05+00:00")
TRADE = SAVED + timedelta(seconds=41)


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("240404081005_candel_data.parquet", SAVED),
        ("20240404081005_candel_data.parquet", SAVED),
        ("202404040810.parquet", SAVED.replace(second=0)),
        ("2404041710_candel_data.parquet", SAVED.replace(second=0)),  # KST
        ("240404171005.parquet", SAVED),  # KST
        ("240404081047.parquet", None),  # after the newest trade: perhaps the run's end
        ("240404071005.parquet", None),  # more than an hour before it
        ("candles.parquet", None),
        ("240404.parquet", None),
        ("249904081005.parquet", None),
    ],
)
def test_a_name_is_believed_only_when_the_trades_agree(name: str, moment: datetime | None) -> None:
    assert began(name, TRADE) == moment


def test_a_name_that_could_be_two_times_is_the_earlier() -> None:
    assert began("2012031011.parquet", utc(0)) is None


NAME = "261120021030_candel_data.parquet"
# The last one was open when it was saved.
GOOD = [minute_row("KRW-A", utc(2, minute, day=20)) for minute in (*range(8), 10)]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)


@pytest.mark.parametrize(
    "odd",
    [
        {"candle_date_time_utc": None},
        {"candle_date_time_utc": "soon"},
        {"candle_date_time_utc": "0001-01-01T00:00:00"},
        {"candle_date_time_utc": "1924-04-04T00:00:00"},
        {"candle_date_time_utc": "2099-04-04T00:00:00"},
        {"candle_date_time_utc": "9999-12-31T23:59:00"},
        {"timestamp": 9_000_000_000_000_000_000},
        {"timestamp": -1},
        {"timestamp": None},
        {"market": None},
        {"trade_price": float("nan")},
        {"unit": None},
    ],
)
def test_an_odd_row_costs_itself_and_nothing_else(tmp_path: Path, odd: dict[str, Any]) -> None:
    write(tmp_path / NAME, [*GOOD, minute_row("KRW-B", utc(2, 3, day=20)) | odd])
    clock = ManualClock(utc(3))
    found = adopt(Lake(MemoryHdfs(clock).client()), survey(tmp_path), clock)
    assert (found.rows, found.imported, found.invalid.total()) == (10, 8, 1)
    assert (TIMELESS in found.invalid) == ("candle_date_time_utc" in odd)


def test_a_file_without_any_possible_time_is_no_file_of_candles(tmp_path: Path) -> None:
    write(tmp_path / NAME, [row | {"candle_date_time_utc": "2099-04-04T00:00:00"} for row in GOOD])
    with pytest.raises(BadFile, match="its times are not Upbit's"):
        survey(tmp_path)


def test_folders_and_links_that_lead_nowhere_get_an_error_of_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "part.parquet").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="holds no"):
        survey(tmp_path)
    write(tmp_path / "part.parquet" / NAME, GOOD)
    assert [source.path.name for source in survey(tmp_path)] == [NAME]
    (tmp_path / "gone.parquet").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BadFile, match=r"gone\.parquet: not a Parquet file"):
        survey(tmp_path)
