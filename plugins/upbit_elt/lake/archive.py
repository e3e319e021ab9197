"""A copy of HDFS as a tar stream, taken out of a HDFS snapshot while others go on writing; and the way back.

Owner, group, permission and time of each name are in it. What Hive makes again by itself is not.
"""

from __future__ import annotations

import logging
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import BinaryIO
from uuid import uuid4

from upbit_elt.errors import BackupFailed, LakeConflict, LakeCorrupt
from upbit_elt.lake.layout import TOP_FOLDERS
from upbit_elt.lake.webhdfs import Entry, Lake

log = logging.getLogger(__name__)
PREFIX = "backup-"
# A backup that is at work longer than this was killed: its HDFS snapshot goes.
LONGEST = timedelta(days=1)
ANEW = ("/tmp", "/data/tmp", "/user/hive-jars")  # noqa: S108 - in HDFS


def write(lake: Lake, out: BinaryIO, now: datetime, on_saved: Callable[[str], None] = lambda _: None) -> list[str]:
    """Write what HDFS holds at this moment; `on_saved` gets each name in turn. `lake` must act as HDFS's superuser.

    Returns the files that HDFS has lost a block of, which are not in it; they are no reason to have no backup.

    Raises:
        LakeUnavailable: HDFS does not answer, or refuses; what was written is no backup.
    """
    lost: list[str] = []
    with _hdfs_snapshot(lake, now) as folder, tarfile.open(fileobj=out, mode="w|") as tar:
        for path, entry in _walk(lake, folder, ""):
            try:
                data = b"" if entry.is_dir else lake.read(f"{folder}{path}", length=entry.size)
            except LakeCorrupt:
                if not entry.name.startswith("_"):  # else it was just being written
                    lost.append(path)
                continue
            tar.addfile(_header(path, entry), BytesIO(data))
            on_saved(path)
    return lost


def save(lake: Lake, out: BinaryIO, now: datetime) -> None:
    """As `write`; logs what HDFS has lost."""
    for path in write(lake, out, now):
        log.warning("backup: HDFS has lost %s, which is not in it", path)


def restore(lake: Lake, source: BinaryIO, *, owners: bool = True) -> int:
    """Bring back what `write` has written; returns the number of files.

    `lake` must act as HDFS's superuser; without `owners` and permissions, which `./run` does not need, as anybody.

    Raises:
        LakeConflict: there are candles already, or a file of the same name: nothing is overwritten.
        BackupFailed: the stream is cut or is no tar; what came before the cut is there.
        LakeUnavailable: HDFS does not answer, or refuses.
    """
    if lake.list(f"{lake.root}/{TOP_FOLDERS[0]}"):
        raise LakeConflict(f"{lake.root}/{TOP_FOLDERS[0]} holds data: a backup is restored into an empty lake only")
    files = 0
    try:
        with tarfile.open(fileobj=source, mode="r|") as tar:
            for member in tar:
                files += _put(lake, tar, member, owners=owners)
    except (tarfile.TarError, EOFError) as error:
        raise BackupFailed(f"this is not a complete backup of the lake: {error}") from error
    return files


def forget_killed(lake: Lake, now: datetime) -> list[str]:
    """Remove HDFS snapshots of backups that were killed: they keep every block of their time. Returns their names."""
    killed = [entry.name for entry in lake.list("/.snapshot") if _since(entry.name) < now - LONGEST]
    for name in killed:
        lake.drop_hdfs_snapshot(name)
    return killed


@contextmanager
def _hdfs_snapshot(lake: Lake, now: datetime) -> Iterator[str]:
    name = f"{PREFIX}{int(now.timestamp())}-{uuid4().hex[:8]}"
    lake.take_hdfs_snapshot(name)
    try:
        forget_killed(lake, now)
        yield f"/.snapshot/{name}"
    finally:
        lake.drop_hdfs_snapshot(name)


def _since(name: str) -> datetime:
    """When a backup took its HDFS snapshot; the end of time for a snapshot of somebody else's."""
    number = name.removeprefix(PREFIX).partition("-")[0]
    known = name.startswith(PREFIX) and number.isdecimal()
    return datetime.fromtimestamp(int(number), UTC) if known else datetime.max.replace(tzinfo=UTC)


def _walk(lake: Lake, root: str, folder: str) -> Iterator[tuple[str, Entry]]:
    for entry in lake.list(f"{root}{folder}" or "/"):
        path = f"{folder}/{entry.name}"
        if path not in ANEW:
            yield path, entry
            if entry.is_dir:
                yield from _walk(lake, root, path)


def _header(path: str, entry: Entry) -> tarfile.TarInfo:
    header = tarfile.TarInfo(path.lstrip("/"))
    header.type = tarfile.DIRTYPE if entry.is_dir else tarfile.REGTYPE
    header.size, header.mtime = entry.size, entry.modified.timestamp()
    header.mode, header.uname, header.gname = int(entry.permission, 8), entry.owner, entry.group
    return header


def _put(lake: Lake, tar: tarfile.TarFile, member: tarfile.TarInfo, *, owners: bool) -> int:
    path, body = f"/{member.name}", tar.extractfile(member)
    if body is None:
        lake.make_folder(path)
    else:
        lake.create(path, body.read())
        lake.date(path, datetime.fromtimestamp(member.mtime, UTC))
    if owners:
        lake.own(path, member.uname, f"{member.mode:o}", member.gname)
    return int(body is not None)
