"""Files in a real HDFS: whole, immutable, never overwritten."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from upbit_elt.errors import LakeConflict, LakeCorrupt, LakeUnavailable
from upbit_elt.lake.connect import connect
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings


@pytest.fixture
def lake(daemons: Settings) -> Lake:
    return Lake.from_settings(daemons)


@pytest.fixture
def folder(lake: Lake) -> Iterator[str]:
    path = f"/lake-{uuid4().hex}"
    yield path
    lake.delete(path)


def test_a_file_is_published_once_and_a_rerun_changes_nothing(lake: Lake, folder: str) -> None:
    assert lake.publish(f"{folder}/a.parquet", b"one") is True
    assert lake.publish(f"{folder}/a.parquet", b"one") is False
    with pytest.raises(LakeConflict, match=r"a\.parquet: already there"):
        lake.publish(f"{folder}/a.parquet", b"two")
    assert lake.read(f"{folder}/a.parquet") == b"one"
    (entry,) = lake.list(folder)  # no temporary file is left
    assert (entry.name, entry.is_dir, entry.size) == ("a.parquet", False, 3)
    assert abs(datetime.now(UTC) - entry.modified) < timedelta(minutes=1)


def test_one_of_many_writers_of_the_same_file_wins(lake: Lake, folder: str) -> None:
    def write(number: int) -> bool:
        try:
            return lake.publish(f"{folder}/a.parquet", str(number).encode())
        except LakeConflict:
            return False

    with ThreadPoolExecutor(8) as pool:
        wins = list(pool.map(write, range(8)))
    assert sum(wins) == 1
    assert lake.read(f"{folder}/a.parquet") == str(wins.index(True)).encode()
    assert len(lake.list(folder)) == 1


def test_a_folder_is_never_moved_into_another(lake: Lake, folder: str) -> None:
    for name in ("day-1", "day-2"):
        lake.make_folder(f"{folder}/{name}")
    with pytest.raises(LakeConflict):
        lake.rename(f"{folder}/day-1", f"{folder}/day-2")
    assert lake.list(f"{folder}/day-2") == []


def test_a_pointer_is_swapped_in_one_step(lake: Lake, folder: str) -> None:
    for version in (b"v1", b"v2"):
        lake.replace(f"{folder}/champion.json", version)
        assert lake.read(f"{folder}/champion.json") == version
    assert len(lake.list(folder)) == 1


def test_parts_and_absent_files(lake: Lake, folder: str) -> None:
    lake.create(f"{folder}/a", b"0123456789")
    assert lake.read(f"{folder}/a", offset=6) == b"6789"
    assert lake.read(f"{folder}/a", offset=2, length=3) == b"234"
    assert lake.list(f"{folder}/none") == []
    assert not lake.exists(f"{folder}/none")
    with pytest.raises(LakeCorrupt, match="no such file"):
        lake.read(f"{folder}/none")
    lake.delete(f"{folder}/none")


def test_a_namenode_that_is_away_is_named_with_its_address() -> None:
    with pytest.raises(LakeUnavailable, match=r"http://127\.0\.0\.1:9 does not answer"):
        Lake(connect("http://127.0.0.1:9", "nobody")).read("/a")
