"""Lake and Hive against the exchange, row by row: the last word of the fault tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from tests.support.world import World
from upbit_elt.candle import Candle, days_between, from_table
from upbit_elt.lake.read import read_sources


@dataclass(frozen=True)
class Audit:
    """Candles of the exchange, and how many are lost, doubled, altered or invented."""

    compared: int
    lost: int
    doubled: int
    altered: int
    invented: int
    examples: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        return not (self.lost or self.doubled or self.altered or self.invented)

    def __str__(self) -> str:
        return (
            f"lost {self.lost}, doubled {self.doubled}, altered {self.altered}, invented {self.invented} "
            f"over {self.compared} candles"
        )


def audit(rows: Iterable[Candle], truth: Iterable[Candle]) -> Audit:
    """Rows as they are stored, in any order, against the exchange's."""
    stored = list(rows)
    counts = Counter((c.market, c.candle_date_time_utc) for c in stored)
    real = {(c.market, c.candle_date_time_utc): c for c in truth}
    lost = sorted(real.keys() - counts.keys())
    altered = [c for c in stored if real.get((c.market, c.candle_date_time_utc), c) != c]
    return Audit(
        compared=len(real),
        lost=len(lost),
        doubled=sum(count - 1 for count in counts.values()),
        altered=len(altered),
        invented=len(counts.keys() - real.keys()),
        examples=(*(f"lost {key}" for key in lost[:5]), *(f"altered {candle}" for candle in altered[:3])),
    )


def in_lake(world: World, start: datetime, end: datetime) -> list[Candle]:
    """Rows of all files that readers see, as they are: what lies in two files comes twice."""
    tables = [table for day in days_between(start, end) for table in read_sources(world.lake, day)[0]]
    return [candle for table in tables for candle in from_table(table) if start <= candle.start < end]


def audits(world: World, start: datetime, end: datetime) -> dict[str, Audit]:
    """Lake and Hive against what the exchange holds of [start, end)."""
    real = world.truth(start, end)
    return {
        "lake": audit(in_lake(world, start, end), real),
        "Hive": audit(world.in_hive(start, end), real),
    }
