"""The HDFS in memory under the product's own lake: what a writer leaves that is cut off, or fooled by a lost answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.clock import ManualClock, utc
from tests.support.edge import Call, Fault, Killed
from tests.support.hdfs import MemoryHdfs
from upbit_elt.errors import LakeConflict, LakeCorrupt, LakeUnavailable
from upbit_elt.lake.webhdfs import Lake

PATH = "/candle/261124/live-1/a.parquet"


@pytest.fixture
def hdfs() -> MemoryHdfs:
    return MemoryHdfs(ManualClock(utc(3)))


def at(name: str, fault: Fault) -> Callable[[Call], Fault]:
    """The fault at every operation of that name."""
    return lambda call: fault if call.name == name else Fault.NONE


def names(hdfs: MemoryHdfs) -> list[str]:
    return [path.rpartition("/")[2] for path in hdfs.files()]


def test_a_file_appears_whole_and_every_operation_is_counted(hdfs: MemoryHdfs) -> None:
    lake = Lake(hdfs.client())
    assert lake.publish(PATH, b"0123456789") is True
    assert lake.read(PATH, offset=2, length=3) == b"234"
    assert [(entry.name, entry.size, entry.modified) for entry in lake.list("/candle/261124/live-1")] == [
        ("a.parquet", 10, utc(3))
    ]
    assert hdfs.operations == {"CREATE": 1, "GETFILESTATUS": 1, "RENAME": 1, "OPEN": 1, "LISTSTATUS": 1}
    with pytest.raises(LakeConflict):
        lake.publish(PATH, b"other")


@pytest.mark.parametrize(
    ("name", "fault", "left"),
    [
        ("CREATE", Fault.DIES_BEFORE, []),
        ("WRITE", Fault.DIES_BEFORE, [b""]),
        ("WRITE", Fault.DIES_HALFWAY, [b"01234"]),
        ("RENAME", Fault.DIES_BEFORE, [b"0123456789"]),
    ],
)
def test_a_writer_that_dies_leaves_nothing_that_is_seen(
    hdfs: MemoryHdfs, name: str, fault: Fault, left: list[bytes]
) -> None:
    with pytest.raises(Killed):
        Lake(hdfs.client(at(name, fault))).publish(PATH, b"0123456789")
    assert list(hdfs.files().values()) == left
    assert all(there.startswith("_a.parquet.") for there in names(hdfs))
    assert Lake(hdfs.client()).publish(PATH, b"0123456789") is True


def test_a_lost_response_is_an_error_though_the_rename_has_happened(hdfs: MemoryHdfs) -> None:
    with pytest.raises(LakeUnavailable, match="does not answer"):
        Lake(hdfs.client(at("RENAME", Fault.ANSWER_LOST))).publish(PATH, b"x")
    assert Lake(hdfs.client()).publish(PATH, b"x") is False


def test_a_lost_block_has_a_length_and_no_bytes(hdfs: MemoryHdfs) -> None:
    lake = Lake(hdfs.client())
    lake.publish(PATH, b"x")
    hdfs.lose(PATH)
    assert lake.size(PATH) == 1
    with pytest.raises(LakeCorrupt, match="lost a block"):
        lake.read(PATH)


def test_in_safe_mode_nothing_changes_and_a_refusal_is_not_taken_for_absence(hdfs: MemoryHdfs) -> None:
    hdfs.safe_mode = True
    with pytest.raises(LakeUnavailable, match="safe mode"):
        Lake(hdfs.client()).publish(PATH, b"x")
    with pytest.raises(LakeUnavailable, match="refused"):
        Lake(hdfs.client(at("GETFILESTATUS", Fault.REFUSED))).exists(PATH)
    with pytest.raises(LakeCorrupt):
        Lake(hdfs.client()).read(PATH)
