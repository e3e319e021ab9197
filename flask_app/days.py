"""The calendar: every KST day that the lake holds, with its state (open, closed, proven) and its counts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from flask_app.jsonio import zulu
from upbit_elt.candle import KST, kst_day, parse_wire
from upbit_elt.clock import Clock
from upbit_elt.lake import ledger
from upbit_elt.lake.ledger import DataFile
from upbit_elt.lake.parquet import read_count, read_coverage
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality import results

LOOK_EVERY = timedelta(seconds=25)
_READERS = 8


class Calendar:
    """Caches the list of days for LOOK_EVERY. Files never change, so the counts of a file are read once."""

    def __init__(self, lake: Lake, clock: Clock) -> None:
        self._lake, self._clock = lake, clock
        self._lock = Lock()
        self._looked: tuple[datetime, int] | None = None
        self._days: list[dict[str, Any]] = []
        self._read: dict[str, dict[str, Any]] = {}  # what was read of a file, by day and path

    def days(self, count: int) -> list[dict[str, Any]]:
        """Days of the lake among the last `count` KST days (today included), oldest first.

        Raises:
            LakeUnavailable: HDFS does not answer.
        """
        with self._lock:
            now = self._clock.now()
            first = kst_day(now - timedelta(days=count - 1))
            if self._looked is None or now - self._looked[0] >= LOOK_EVERY or self._looked[1] < count:
                wanted = [day for day in ledger.days(self._lake, "candle") if day >= first]
                with ThreadPoolExecutor(_READERS, thread_name_prefix="days") as pool:
                    self._days = list(pool.map(self._day, wanted))
                self._looked = now, count
            return [day for day in self._days if day["day"] >= iso(first)]

    def _day(self, day: str) -> dict[str, Any]:
        known, current = self._read.get(day, {}), dict[str, Any]()
        state, reconciled = results.state_of(self._lake, day)
        if reconciled:
            path = reconciled.path
            current[path] = counts = known.get(path) or _totals(results.read(self._lake, reconciled))
        else:
            counts = _unreconciled(self._files(day, known, current))
        self._read[day] = current
        return {"day": iso(day), "state": state, **counts}

    def _files(self, day: str, known: dict[str, Any], current: dict[str, Any]) -> list[tuple[int, int]]:
        """(candles, markets with a hole) of each file of the day. Takes them from `known`, adds them to `current`."""
        snapshot = ledger.current(self._lake, "candle", day)
        found = ledger.files(self._lake, snapshot, day) if snapshot else []
        for file in found:
            current[file.path] = known.get(file.path) or self._of_file(file, closed=bool(snapshot and snapshot[0]))
        return [current[file.path] for file in found]

    def _of_file(self, file: DataFile, *, closed: bool) -> tuple[int, int]:
        rows = read_count(self._lake, file.path, file.size)
        if not closed:  # holes of an open day are not counted: the next run may fill them
            return rows, 0
        return rows, len({hole.market for hole in read_coverage(self._lake, file.path, file.size).holes()})


def iso(day: str) -> str:
    """`2026-11-24` of a KST day `yyMMdd`."""
    return datetime.strptime(day, "%y%m%d").replace(tzinfo=KST).strftime("%Y-%m-%d")


def rows_of(lake: Lake, day: str) -> list[dict[str, Any]]:
    """Reconciliation of a KST day `yyMMdd`, a row per market; [] while the day has no valid one."""
    found = results.read(lake, results.valid(lake, day)).values()
    return [_row(one) for one in sorted(found, key=lambda one: (one.state, one.market))]


def _row(one: results.MarketResult) -> dict[str, Any]:
    row = {name: value for name, value in results.stored_row(one).items() if name not in ("digest", "detail")}
    entries, found = one.entries(), one.found()
    not_compared = [entry for entry in entries if entry not in found]
    return {**row, "checked": zulu(parse_wire(one.checked)), "details": found, "unjudged": not_compared}


def _totals(rows: dict[str, results.MarketResult]) -> dict[str, Any]:
    proven = [results.stored_row(one) for one in rows.values()]
    sums = ("candles", "differences", "repaired", "findings")
    return {
        "markets": len(proven),
        **{name: sum(row[name] for row in proven) for name in sums},
        "gone": sum(row["state"] == "gone" for row in proven),
        "holes": 0,
        "checked": zulu(max((parse_wire(row["checked"]) for row in proven), default=None)),
    }


def _unreconciled(files: list[tuple[int, int]]) -> dict[str, Any]:
    return {
        "markets": None,
        "candles": sum(rows for rows, _ in files),
        "differences": None,
        "repaired": None,
        "findings": None,
        "gone": None,
        "holes": sum(holes for _, holes in files),
        "checked": None,
    }
