"""The calendar: every KST day that the lake holds, whether it is open, closed or proven, and what it counts."""

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
    """Keeps the last look at the days; files never change, so what was read of one is kept while it is current."""

    def __init__(self, lake: Lake, clock: Clock) -> None:
        self._lake, self._clock = lake, clock
        self._lock = Lock()
        self._looked: tuple[datetime, int] | None = None
        self._days: list[dict[str, Any]] = []
        self._read: dict[str, dict[str, Any]] = {}  # by day and path

    def days(self, count: int) -> list[dict[str, Any]]:
        """Those of the last `count` KST days, today included, that the lake holds, oldest first.

        Raises:
            LakeUnavailable
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
        known, kept = self._read.get(day, {}), dict[str, Any]()
        state, reconciled = results.state_of(self._lake, day)
        if reconciled:
            path = reconciled.path
            kept[path] = counts = known.get(path) or _totals(results.read(self._lake, reconciled))
        else:
            counts = _unjudged(self._files(day, known, kept))
        self._read[day] = kept
        return {"day": iso(day), "state": state, **counts}

    def _files(self, day: str, known: dict[str, Any], kept: dict[str, Any]) -> list[tuple[int, int]]:
        """Candles of each file of the day, and markets with a hole in it."""
        snapshot = ledger.current(self._lake, "candle", day)
        found = ledger.files(self._lake, snapshot, day) if snapshot else []
        for file in found:
            kept[file.path] = known.get(file.path) or self._of_file(file, whole=bool(snapshot and snapshot[0]))
        return [kept[file.path] for file in found]

    def _of_file(self, file: DataFile, *, whole: bool) -> tuple[int, int]:
        rows = read_count(self._lake, file.path, file.size)
        if not whole:  # a hole of an open day is the next run's business
            return rows, 0
        return rows, len({hole.market for hole in read_coverage(self._lake, file.path, file.size).holes()})


def iso(day: str) -> str:
    """`2026-11-24` of a KST day `yyMMdd`."""
    return datetime.strptime(day, "%y%m%d").replace(tzinfo=KST).strftime("%Y-%m-%d")


def rows_of(lake: Lake, day: str) -> list[dict[str, Any]]:
    """Reconciliation of a KST day `yyMMdd`, a row a market; [] while it has none that counts."""
    found = results.read(lake, results.valid(lake, day)).values()
    return [_row(proof) for proof in sorted(found, key=lambda proof: (proof.state, proof.market))]


def _row(proof: results.Proof) -> dict[str, Any]:
    row = {name: value for name, value in results.stored_row(proof).items() if name not in ("digest", "detail")}
    entries, found = proof.entries(), proof.found()
    unjudged = [entry for entry in entries if entry not in found]
    return {**row, "checked": zulu(parse_wire(proof.checked)), "details": found, "unjudged": unjudged}


def _totals(rows: dict[str, results.Proof]) -> dict[str, Any]:
    proven = [results.stored_row(proof) for proof in rows.values()]
    sums = ("candles", "differences", "repaired", "findings")
    return {
        "markets": len(proven),
        **{name: sum(row[name] for row in proven) for name in sums},
        "gone": sum(row["state"] == "gone" for row in proven),
        "holes": 0,
        "checked": zulu(max((parse_wire(row["checked"]) for row in proven), default=None)),
    }


def _unjudged(files: list[tuple[int, int]]) -> dict[str, Any]:
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
