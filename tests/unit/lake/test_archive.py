"""A backup of the lake: what HDFS held when it began, whatever is written meanwhile; nothing stays of a killed one."""

from __future__ import annotations

import tarfile
from datetime import timedelta
from io import BytesIO

import pytest

from tests.support.clock import ManualClock, utc
from tests.support.hdfs import MemoryHdfs
from upbit_elt.errors import BackupFailed, LakeConflict
from upbit_elt.lake import archive
from upbit_elt.lake.provision import provision
from upbit_elt.lake.webhdfs import Lake

NOW = utc(12, 0)
LATER = NOW + timedelta(hours=5)
PATHS = ("/candle/261124/live-1/a.parquet", "/candle/261124/live-1/b.parquet", "/model/champion.json")


@pytest.fixture
def hdfs() -> MemoryHdfs:
    made = MemoryHdfs(ManualClock(NOW))
    provision(Lake(made.client()), "upbit")
    for path in PATHS:
        made.put(path, path.encode() * 1000)
    made.put("/user/hive-jars/hive-exec.jar", b"large")
    return made


def saved(hdfs: MemoryHdfs) -> bytes:
    out = BytesIO()
    archive.write(Lake(hdfs.client()), out, NOW)
    return out.getvalue()


def test_a_restore_brings_everything_back_as_it_was_when_the_backup_began(hdfs: MemoryHdfs) -> None:
    seen: list[str] = []
    lake, out = Lake(hdfs.client()), BytesIO()

    def meanwhile(path: str) -> None:
        if not seen:
            lake.delete(PATHS[1])
            lake.create("/candle/261124/live-1/c.parquet", b"later")
        seen.append(path)

    archive.write(lake, out, NOW, meanwhile)
    assert hdfs.snapshots == {}
    empty = MemoryHdfs(ManualClock(LATER))
    assert archive.restore(Lake(empty.client()), BytesIO(out.getvalue())) == len(PATHS)
    assert empty.files() == {path: path.encode() * 1000 for path in PATHS}
    found, folder = empty.find(PATHS[0]), empty.find("/candle")
    assert found
    assert folder
    assert found.modified == NOW.timestamp() * 1000
    assert (folder.owner, folder.permission) == ("upbit", "755")


def test_a_killed_backup_leaves_a_snapshot_that_the_next_start_or_backup_removes(hdfs: MemoryHdfs) -> None:
    lake = Lake(hdfs.client())
    killed = f"backup-{int(NOW.timestamp())}"
    lake.take_hdfs_snapshot(killed)
    lake.take_hdfs_snapshot("of-somebody-else")
    archive.write(lake, BytesIO(), LATER)
    assert set(hdfs.snapshots) == {killed, "of-somebody-else"}, "it may still be at work"
    archive.write(lake, BytesIO(), LATER + archive.LONGEST)
    assert set(hdfs.snapshots) == {"of-somebody-else"}
    lake.take_hdfs_snapshot(killed)
    assert archive.forget_killed(lake, LATER + archive.LONGEST) == [killed]
    assert set(hdfs.snapshots) == {"of-somebody-else"}


def test_a_backup_goes_into_an_empty_lake_only(hdfs: MemoryHdfs) -> None:
    before = hdfs.files()
    with pytest.raises(LakeConflict, match="into an empty lake only"):
        archive.restore(Lake(hdfs.client()), BytesIO(saved(hdfs)))
    assert hdfs.files() == before


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
def test_a_cut_off_backup_is_not_a_complete_one(hdfs: MemoryHdfs, share: float) -> None:
    whole = saved(hdfs)
    with tarfile.open(fileobj=BytesIO(whole)) as tar:
        ends = [member.offset_data + member.size for member in tar]
    cut = whole[: int(ends[-1] * share) + 100]
    with pytest.raises(BackupFailed, match="not a complete backup"):
        archive.restore(Lake(MemoryHdfs(ManualClock(LATER)).client()), BytesIO(cut))
