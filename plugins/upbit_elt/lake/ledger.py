"""What the lake already accounts for, known from the lake alone: folders, file names and footers."""

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
    """A leaf folder that is (or was) what readers see of a day. A complete one beats any live one."""

    complete: bool
    number: int
    path: str


class DataFile(NamedTuple):
    """A Parquet file of a snapshot; [start, end) is its span as its name says (UTC)."""

    path: str
    size: int
    start: datetime
    end: datetime


class Unreadable(NamedTuple):
    """A file of a KST day that cannot be read as what its name says, and why."""

    day: str
    file: DataFile
    why: str


class LiveFile(NamedTuple):
    """A file that a live run had a part in: what live runs know by it, its KST day, its snapshot and its path.

    `unreadable` are newer ones that cannot be read.
    """

    coverage: Coverage
    day: str
    snapshot: Snapshot
    path: str
    unreadable: tuple[Unreadable, ...] = ()


def days(lake: Lake, kind: Kind) -> list[str]:
    """KST days `yyMMdd` that have a folder, oldest first."""
    entries = lake.list(layout.kind_folder(lake.root, kind))
    return [entry.name for entry in entries if entry.is_dir and layout.DAY.match(entry.name)]


def snapshots(lake: Lake, kind: Kind, day: str) -> list[Snapshot]:
    """Snapshots of a day, oldest first; the last one is what readers should see."""
    return look(lake, kind, day)[0]


def look(lake: Lake, kind: Kind, day: str) -> tuple[list[Snapshot], list[str]]:
    """Snapshots of a day (oldest first), and paths of the marks by which earlier releases said that Hive may not
    show one of them yet.
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
    """Notes of a snapshot's first file: the one that it began with. {} of a plain window's file, or of none (that can
    be read).
    """
    found = files(lake, snapshot, day)
    try:
        return read_notes(lake, found[0].path, found[0].size) if found else {}
    except LakeCorrupt as error:
        log.warning("what %s was made of is not known: %s", snapshot.path, error)
        return {}


def files(lake: Lake, snapshot: Snapshot, day: str) -> list[DataFile]:
    """Data files of a snapshot of a KST day, oldest first. Names that Hive does not read are not listed."""
    found = [_data_file(snapshot.path, entry, day) for entry in lake.list(snapshot.path)]
    return sorted((file for file in found if file), key=lambda f: (f.end, f.start))


def _data_file(folder: str, entry: Entry, day: str) -> DataFile | None:
    if entry.name.startswith(("_", ".")) or not entry.name.endswith(".parquet"):
        return None
    span = layout.parse_window(entry.name) or (day_start(day), day_end(day))
    return DataFile(f"{folder}/{entry.name}", entry.size, *span)


def newest(lake: Lake) -> Coverage | None:
    """Coverage of the newest candle file that a live run took part in, None before the first: see find_live_file."""
    found = find_live_file(lake)
    return found.coverage if found else None


def find_live_file(lake: Lake, known: LiveFile | None = None) -> LiveFile | None:
    """The newest candle file that a live run had a part in and that can be read, None before the first.

    Its watermark says where the next run has to begin; nothing else needs to be read for that. Days that were only
    adopted or backfilled have none, and say nothing about live runs. `known` is what was found before: its footer is
    not read again. One unreadable file costs its own minutes: the one before it counts, of the same snapshot, of an
    earlier one, of the day before.

    Raises:
        LakeTooNew: a newer release wrote it.
        LakeUnavailable: HDFS does not give that file, nor the one before it.
    """
    search = _Search(lake, known)
    for day in reversed(days(lake, "candle")):
        found = search.day(day)
        if found:
            return found
    search.end()
    return None


def following(lake: Lake, known: LiveFile) -> LiveFile | None:
    """The newest file in the folder of one that is known, None when that has no newer one; for a reader that looks
    often: a new file is found by two questions, while another snapshot or day is not."""
    found = _Search(lake, known).snapshot(known.snapshot, known.day)
    return found if found and found.path != known.path else None


class _Search:
    """The way back from the newest file to one that can be read."""

    def __init__(self, lake: Lake, known: LiveFile | None) -> None:
        self._lake, self._known = lake, known
        self._unreadable: list[Unreadable] = []
        self._away: LakeUnavailable | None = None

    def day(self, day: str) -> LiveFile | None:
        """That of a day: of its current snapshot, of an earlier one only when files of that cannot be read."""
        for snapshot in reversed(snapshots(self._lake, "candle", day)):
            found = self.snapshot(snapshot, day)
            if found or not any(lost.day == day for lost in self._unreadable):
                return found
        return None

    def snapshot(self, snapshot: Snapshot, day: str) -> LiveFile | None:
        """That of a snapshot."""
        for file in reversed(files(self._lake, snapshot, day)):
            if self._known and self._known.path == file.path:
                return self._known._replace(unreadable=tuple(self._unreadable))
            coverage = self._read(day, file)
            if coverage is not None:
                lost = tuple(self._unreadable)
                return LiveFile(coverage.live(), day, snapshot, file.path, lost) if coverage.watermark else None
        return None

    def end(self) -> None:
        """There is no older file; raise what HDFS said, if it was that."""
        if self._away:
            raise self._away

    def _read(self, day: str, file: DataFile) -> Coverage | None:
        try:
            coverage = read_coverage(self._lake, file.path, file.size)
        except LakeCorrupt as error:
            self._lose(day, file, error)
            return None
        except LakeUnavailable as error:
            # If the file before can be read, it is this file, not HDFS.
            self.end()
            self._away = error
            self._lose(day, file, error)
            return None
        self._away = None
        return coverage

    def _lose(self, day: str, file: DataFile, error: LakeCorrupt | LakeUnavailable) -> None:
        log.warning("unreadable, the file before it counts: %s", error)
        self._unreadable.append(Unreadable(day, file, str(error)))
