"""Which days, snapshots and files the lake has, and how far live runs are: from folders, names and footers alone."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any, NamedTuple

from upbit_elt.candle import day_end, day_start
from upbit_elt.errors import LakeCorrupt, LakeUnavailable
from upbit_elt.lake import layout
from upbit_elt.lake.coverage import Coverage
from upbit_elt.lake.layout import Kind
from upbit_elt.lake.parquet import read_coverage, read_notes
from upbit_elt.lake.webhdfs import Entry, Lake

log = logging.getLogger(__name__)


class Snapshot(NamedTuple):
    """A leaf folder whose files readers see, or saw, of a day. A complete snapshot is newer than any live one."""

    complete: bool
    number: int
    path: str


class DataFile(NamedTuple):
    """A Parquet file of a snapshot: size in bytes, and its span [start, end) (UTC) by its name."""

    path: str
    size: int
    start: datetime
    end: datetime


class Unreadable(NamedTuple):
    """A file of a KST day that cannot be read, or holds another file's content, and why."""

    day: str
    file: DataFile
    why: str


class LiveFile(NamedTuple):
    """A file that a live run had a part in: the live runs' coverage by its footer, its KST day, snapshot and path.

    `unreadable` are newer files that cannot be read.
    """

    coverage: Coverage
    day: str
    snapshot: Snapshot
    path: str
    unreadable: tuple[Unreadable, ...] = ()


def days(lake: Lake, kind: Kind) -> list[str]:
    """The KST days `yyMMdd` that have a folder, oldest first."""
    entries = lake.list(layout.kind_folder(lake.root, kind))
    return [entry.name for entry in entries if entry.is_dir and layout.DAY.match(entry.name)]


def snapshots(lake: Lake, kind: Kind, day: str) -> list[Snapshot]:
    """The snapshots of a day, oldest first; the last one is what readers should see."""
    return list_day(lake, kind, day)[0]


def list_day(lake: Lake, kind: Kind, day: str) -> tuple[list[Snapshot], list[str]]:
    """The snapshots of a day (oldest first), and the paths of pending markers that earlier releases put beside them:
    such a marker says that Hive may not point at its snapshot yet.
    """
    folder = layout.day_folder(lake.root, kind, day)
    found, old_markers = [], []
    for entry in lake.list(folder):
        old_markers += [f"{folder}/{entry.name}"] if entry.name.startswith(layout.UNREGISTERED) else []
        for complete, pattern in ((False, layout.LIVE), (True, layout.COMPLETE)):
            match = pattern.match(entry.name)
            if entry.is_dir and match:
                found.append(Snapshot(complete, int(match[1]), f"{folder}/{entry.name}"))
    return sorted(found), old_markers


def current(lake: Lake, kind: Kind, day: str) -> Snapshot | None:
    """The snapshot of a day that readers should see, None before the day's first file."""
    found = snapshots(lake, kind, day)
    return found[-1] if found else None


def first_notes(lake: Lake, snapshot: Snapshot, day: str) -> dict[str, Any]:
    """The notes of the file that a snapshot began with; {} when that is a plain window's file, or cannot be read."""
    found = files(lake, snapshot, day)
    try:
        return read_notes(lake, found[0].path, found[0].size) if found else {}
    except LakeCorrupt as error:
        log.warning("cannot read what %s was compacted from: %s", snapshot.path, error)
        return {}


def files(lake: Lake, snapshot: Snapshot, day: str) -> list[DataFile]:
    """The data files of a snapshot of a KST day, oldest first, without names that Hive does not read."""
    found = [_data_file(snapshot.path, entry, day) for entry in lake.list(snapshot.path)]
    return sorted((file for file in found if file), key=lambda f: (f.end, f.start))


def _data_file(folder: str, entry: Entry, day: str) -> DataFile | None:
    if entry.name.startswith(("_", ".")) or not entry.name.endswith(".parquet"):
        return None
    span = layout.parse_window(entry.name) or (day_start(day), day_end(day))
    return DataFile(f"{folder}/{entry.name}", entry.size, *span)


def live_coverage(lake: Lake) -> Coverage | None:
    """The coverage of the newest file that a live run had a part in, None before the first: see find_live_file."""
    found = find_live_file(lake)
    return found.coverage if found else None


def find_live_file(lake: Lake, known: LiveFile | None = None) -> LiveFile | None:
    """Find the newest readable candle file that a live run had a part in, None before the first.

    Its watermark says where the next run begins; that run needs to read nothing else. Files of the backfill and of old
    imports have no watermark, and say nothing about live runs. `known` is an earlier result, whose footer is not read
    again. When a file is unreadable, the one before it counts: of the same snapshot, an earlier one, or the day before.

    Raises:
        LakeTooNew: a newer release wrote the file.
        LakeUnavailable: HDFS gives neither that file nor the one before it.
    """
    search = _Search(lake, known)
    for day in reversed(days(lake, "candle")):
        found = search.day(day)
        if found:
            return found
    search.end()
    return None


def following(lake: Lake, known: LiveFile) -> LiveFile | None:
    """The newest live file in the folder of `known`, None when there is no newer one there.

    It is for a reader that looks often: it costs two requests to HDFS, but does not find a new snapshot or day.
    """
    found = _Search(lake, known).snapshot(known.snapshot, known.day)
    return found if found and found.path != known.path else None


class _Search:
    """The search from the newest file back to one that can be read."""

    def __init__(self, lake: Lake, known: LiveFile | None) -> None:
        self._lake, self._known = lake, known
        self._unreadable: list[Unreadable] = []
        self._away: LakeUnavailable | None = None

    def day(self, day: str) -> LiveFile | None:
        """The newest live file of a day: of its current snapshot; of an earlier one only when files are unreadable."""
        for snapshot in reversed(snapshots(self._lake, "candle", day)):
            found = self.snapshot(snapshot, day)
            if found or not any(lost.day == day for lost in self._unreadable):
                return found
        return None

    def snapshot(self, snapshot: Snapshot, day: str) -> LiveFile | None:
        """The newest live file of a snapshot."""
        for file in reversed(files(self._lake, snapshot, day)):
            if self._known and self._known.path == file.path:
                return self._known._replace(unreadable=tuple(self._unreadable))
            coverage = self._read(day, file)
            if coverage is not None:
                lost = tuple(self._unreadable)
                return LiveFile(coverage.live(), day, snapshot, file.path, lost) if coverage.watermark else None
        return None

    def end(self) -> None:
        """End the search without a file; raises what HDFS said when it did not give the last file tried."""
        if self._away:
            raise self._away

    def _read(self, day: str, file: DataFile) -> Coverage | None:
        try:
            coverage = read_coverage(self._lake, file.path, file.size)
        except LakeCorrupt as error:
            self._lose(day, file, error)
            return None
        except LakeUnavailable as error:
            # If the file before it can be read, only this file is unavailable, not HDFS.
            self.end()
            self._away = error
            self._lose(day, file, error)
            return None
        self._away = None
        return coverage

    def _lose(self, day: str, file: DataFile, error: LakeCorrupt | LakeUnavailable) -> None:
        log.warning("unreadable, using the file before it: %s", error)
        self._unreadable.append(Unreadable(day, file, str(error)))
