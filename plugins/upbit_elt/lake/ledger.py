"""What the lake already accounts for, known from the lake alone: folders, file names and footers."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from upbit_elt.candle import day_end, day_start
from upbit_elt.lake import layout
from upbit_elt.lake.coverage import Coverage
from upbit_elt.lake.layout import Kind
from upbit_elt.lake.parquet import read_coverage, read_notes
from upbit_elt.lake.webhdfs import Entry, Lake


class Generation(NamedTuple):
    """A leaf folder that is (or was) what readers see of a day. A complete one beats any live one."""

    complete: bool
    number: int
    path: str


class DataFile(NamedTuple):
    """A Parquet file of a generation; [start, end) is its span as its name says (UTC)."""

    path: str
    size: int
    start: datetime
    end: datetime


class Newest(NamedTuple):
    """A file that a live run had a part in: what live runs know by it, its KST day, its generation and its path."""

    coverage: Coverage
    day: str
    generation: Generation
    path: str


def days(lake: Lake, kind: Kind) -> list[str]:
    """KST days `yyMMdd` that have a folder, oldest first."""
    entries = lake.list(layout.kind_folder(lake.root, kind))
    return [entry.name for entry in entries if entry.is_dir and layout.DAY.match(entry.name)]


def generations(lake: Lake, kind: Kind, day: str) -> list[Generation]:
    """Generations of a day, oldest first; the last one is what readers should see."""
    return look(lake, kind, day)[0]


def look(lake: Lake, kind: Kind, day: str) -> tuple[list[Generation], list[str]]:
    """Generations of a day (oldest first), and paths of the marks by which earlier releases said that Hive may not
    show one of them yet.
    """
    folder = layout.day_folder(lake.root, kind, day)
    found, marks = [], []
    for entry in lake.list(folder):
        marks += [f"{folder}/{entry.name}"] if entry.name.startswith(layout.UNSHOWN) else []
        for complete, pattern in ((False, layout.LIVE), (True, layout.COMPLETE)):
            match = pattern.match(entry.name)
            if entry.is_dir and match:
                found.append(Generation(complete, int(match[1]), f"{folder}/{entry.name}"))
    return sorted(found), marks


def current(lake: Lake, kind: Kind, day: str) -> Generation | None:
    """The generation of a day that readers should see, None before the day's first file."""
    found = generations(lake, kind, day)
    return found[-1] if found else None


def first_notes(lake: Lake, generation: Generation, day: str) -> dict[str, Any]:
    """Notes of a generation's first file: the one that it began with. {} of a plain window's file, or of none."""
    found = files(lake, generation, day)
    return read_notes(lake, found[0].path, found[0].size) if found else {}


def files(lake: Lake, generation: Generation, day: str) -> list[DataFile]:
    """Data files of a generation of a KST day, oldest first. Names that Hive does not read are not listed."""
    found = [_data_file(generation.path, entry, day) for entry in lake.list(generation.path)]
    return sorted((file for file in found if file), key=lambda f: (f.end, f.start))


def _data_file(folder: str, entry: Entry, day: str) -> DataFile | None:
    if entry.name.startswith(("_", ".")) or not entry.name.endswith(".parquet"):
        return None
    span = layout.parse_window(entry.name) or (day_start(day), day_end(day))
    return DataFile(f"{folder}/{entry.name}", entry.size, *span)


def newest(lake: Lake) -> Coverage | None:
    """What live runs know by the newest candle file that one had a part in, None before the first; see find_newest."""
    found = find_newest(lake)
    return found.coverage if found else None


def find_newest(lake: Lake, known: Newest | None = None) -> Newest | None:
    """The newest candle file that a live run had a part in, and what live runs know by it; None before the first.

    Its watermark says where the next run has to begin; nothing else needs to be read for that. Days that were only
    adopted or backfilled have none, and say nothing about live runs. `known` is what was found before: its footer is
    not read again.
    """
    for day in reversed(days(lake, "candle")):
        generation = current(lake, "candle", day)
        found = _newest_of(lake, generation, day, known) if generation else None
        if found:
            return found
    return None


def following(lake: Lake, known: Newest) -> Newest | None:
    """The newest file in the folder of one that is known, None when that has no newer one; for a reader that looks
    often: a new file is found by two questions, while another generation or day is not."""
    found = _newest_of(lake, known.generation, known.day, known)
    return found if found and found.path != known.path else None


def _newest_of(lake: Lake, generation: Generation, day: str, known: Newest | None) -> Newest | None:
    found = files(lake, generation, day)
    if not found:
        return None
    if known and known.path == found[-1].path:
        return known
    coverage = read_coverage(lake, found[-1].path, found[-1].size)
    return Newest(coverage.live(), day, generation, found[-1].path) if coverage.watermark else None
