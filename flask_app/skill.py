"""How good the served forecasts are: the scores of the last days, pooled over the markets, against each baseline."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flask_app.days import iso
from upbit_elt.candle import kst_day
from upbit_elt.clock import Clock
from upbit_elt.errors import LakeCorrupt
from upbit_elt.forecast.score_day import EXPERTS, SCORE, SERVED
from upbit_elt.lake import ledger
from upbit_elt.lake.snapshot import read_source
from upbit_elt.lake.webhdfs import Lake

log = logging.getLogger(__name__)
LOOK_EVERY = timedelta(minutes=1)
MOST_DAYS = 31  # days of which one request may ask
# Days over which the coverage is pooled of which the metric and its alert speak.
COVERAGE_DAYS = 3
BASELINES = tuple(expert for expert in EXPERTS if expert != SERVED)
QUANTITY = "price"
_COUNTS, _MEANS = ("count", "late", "missed", "holes"), ("crps", "mae", "coverage_90")
_COLUMNS = ("market", "horizon", "expert", *_COUNTS, *_MEANS)
Row = dict[str, Any]


@dataclass
class Pool:
    """Sums of the served forecasts of one horizon over markets, and over days when pools are merged.

    `markets` is their number, of days the largest. `counts` are those of _COUNTS, `sums` those of _MEANS; `rivals`
    has of each baseline the number of forecasts, the CRPS sum of the served ones among them, and its own.
    """

    markets: int = 0
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(_COUNTS), np.int64))
    sums: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(_MEANS)))
    rivals: defaultdict[str, npt.NDArray[np.float64]] = field(default_factory=lambda: defaultdict(lambda: np.zeros(3)))

    def add(self, rows: Mapping[str, Row]) -> None:
        """Add the scores of a market by expert."""
        served = rows[SERVED]
        self.markets += 1
        self.counts += [served[name] for name in _COUNTS]
        if served["count"]:
            self.sums += [served["count"] * served[name] for name in _MEANS]
            for name in BASELINES:
                if name in rows:
                    self.rivals[name] += [
                        served["count"],
                        *(rows[e]["count"] * rows[e]["crps"] for e in (SERVED, name)),
                    ]

    def merge(self, other: Pool) -> None:
        """Add another pool."""
        self.markets = max(self.markets, other.markets)
        self.counts += other.counts
        self.sums += other.sums
        for name, sums in other.rivals.items():
            self.rivals[name] += sums

    def row(self, horizon: int) -> Row:
        """JSON members; means and skill are null where nothing was scored."""
        count, late, missed, holes = (int(number) for number in self.counts)
        means = [_ratio(total, count) for total in self.sums]
        return {
            "horizon": horizon,
            "markets": self.markets,
            "count": count,
            "late": late,
            "missed": missed,
            "holes": holes,
            **dict(zip(_MEANS, means, strict=True)),
            "baselines": {name: _rival(*self.rivals[name]) for name in BASELINES if name in self.rivals},
        }


def _rival(count: float, served: float, own: float) -> Row:
    """A baseline's CRPS, and the share by which the served one is below it on the same forecasts."""
    ratio = _ratio(served, own)
    return {"count": int(count), "crps": _ratio(own, count), "skill": None if ratio is None else round(1 - ratio, 6)}


def _ratio(total: float, count: float) -> float | None:
    return round(float(total / count), 6) if count else None


@dataclass(frozen=True)
class Known:
    """The coverage of the 90 % interval over the newest COVERAGE_DAYS days with scores, and of how many forecasts."""

    coverage_90: float
    count: int


class Skill:
    """The pools of each day by horizon. Files never change, so each is read once; days are listed every LOOK_EVERY."""

    def __init__(self, lake: Lake, clock: Clock) -> None:
        self._lake, self._clock = lake, clock
        self._lock = Lock()
        self._looked: tuple[datetime, int] | None = None
        self._read: dict[str, tuple[str, dict[int, Pool]]] = {}  # path and pools of a day
        self._unreadable: set[str] = set()

    def report(self, count: int) -> Row:
        """JSON of the last `count` KST days, today included: pooled, and by day, oldest first.

        Raises LakeUnavailable.
        """
        days = self._pools(count)
        return {
            "quantity": QUANTITY,
            "expert": SERVED,
            "unit": "basis points of the log price",
            "pooled": _rows(_merged(days.values())),
            "days": [{"day": iso(day), "horizons": _rows(pools)} for day, pools in sorted(days.items())],
            "unreadable": [iso(day) for day in sorted(self._unreadable)],
        }

    def look(self) -> None:
        """Read the scores of the newest days, so that `known` is current. Raises LakeUnavailable."""
        self._pools(COVERAGE_DAYS + 1)

    @property
    def known(self) -> Known | None:
        """The coverage, by what is in memory; None while fewer than COVERAGE_DAYS days have scores."""
        read = {day: pools for day, (_, pools) in self._read.items()}
        scored = {day: pools for day, pools in read.items() if any(pool.counts[0] for pool in pools.values())}
        latest = sorted(scored)[-COVERAGE_DAYS:]
        if len(latest) < COVERAGE_DAYS:
            return None
        pool = Pool()
        for day in latest:
            for one in scored[day].values():
                pool.merge(one)
        return Known(float(pool.sums[_MEANS.index("coverage_90")] / pool.counts[0]), int(pool.counts[0]))

    def _pools(self, count: int) -> dict[str, dict[int, Pool]]:
        with self._lock:
            now = self._clock.now()
            wanted = [kst_day(now - timedelta(days=number)) for number in range(count)]
            if self._looked is None or now - self._looked[0] >= LOOK_EVERY or self._looked[1] < count:
                self._unreadable = set()
                found = {day: one for day in wanted if (one := self._day(day))}
                oldest = kst_day(now - timedelta(days=MOST_DAYS))
                self._read = {day: one for day, one in self._read.items() if day > oldest} | found
                self._looked = now, count
            return {day: self._read[day][1] for day in wanted if day in self._read}

    def _day(self, day: str) -> tuple[str, dict[int, Pool]] | None:
        """The latest scores of a day: the file's path, and the pools; None without scores."""
        snapshot = ledger.current(self._lake, SCORE.kind, day)
        file = next(iter(ledger.files(self._lake, snapshot, day)), None) if snapshot else None
        if file is None:
            return None
        before = self._read.get(day)
        if before and before[0] == file.path:
            return before
        try:
            return file.path, _pooled(read_source(self._lake, SCORE, file).table)
        except LakeCorrupt as error:
            log.warning("the scores of %s are left out: %s", day, error)
            self._unreadable.add(day)
            return None


def _pooled(table: pa.Table) -> dict[int, Pool]:
    """The scores of a day, pooled over the markets by horizon."""
    groups: dict[tuple[str, int], dict[str, Row]] = defaultdict(dict)
    for row in table.filter(pc.field("quantity") == QUANTITY).select(_COLUMNS).to_pylist():
        groups[row["market"], row["horizon"]][row["expert"]] = row
    pools: dict[int, Pool] = defaultdict(Pool)
    for (_, horizon), rows in groups.items():
        if SERVED in rows:
            pools[horizon].add(rows)
    return dict(pools)


def _merged(days: Iterable[Mapping[int, Pool]]) -> dict[int, Pool]:
    merged: dict[int, Pool] = defaultdict(Pool)
    for pools in days:
        for horizon, pool in pools.items():
            merged[horizon].merge(pool)
    return merged


def _rows(pools: Mapping[int, Pool]) -> list[Row]:
    return [pool.row(horizon) for horizon, pool in sorted(pools.items())]
