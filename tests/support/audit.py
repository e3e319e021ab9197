"""Lake and Hive against the exchange, row by row: the last word of the fault tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from upbit_elt.candle import FIELDS, Candle, days_between, from_table, wire
from upbit_elt.lake.read import read_sources
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive

Span = tuple[datetime, datetime]


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


def key(candle: Candle) -> tuple[str, str]:
    """What a candle is sorted and found by: market, and its minute."""
    return candle.market, candle.candle_date_time_utc


def audit(rows: Iterable[Candle], truth: Iterable[Candle]) -> Audit:
    """Rows as they are stored, in any order, against the exchange's."""
    stored = list(rows)
    counts = Counter(map(key, stored))
    real = {key(c): c for c in truth}
    lost = sorted(real.keys() - counts.keys())
    altered = [c for c in stored if real.get(key(c), c) != c]
    return Audit(
        compared=len(real),
        lost=len(lost),
        doubled=sum(count - 1 for count in counts.values()),
        altered=len(altered),
        invented=len(counts.keys() - real.keys()),
        examples=(*(f"lost {one}" for one in lost[:5]), *(f"altered {candle}" for candle in altered[:3])),
    )


def in_lake(lake: Lake, start: datetime, end: datetime) -> list[Candle]:
    """Rows of all files that readers see, as they are: what lies in two files comes twice."""
    tables = [table for day in days_between(start, end) for table in read_sources(lake, day)[0]]
    return [candle for table in tables for candle in from_table(table) if start <= candle.start < end]


def in_hive(hive: Hive, settings: Settings, start: datetime, end: datetime) -> list[Candle]:
    """Rows of the table over all days, sorted."""
    names = ", ".join(f"`{name}`" for name in FIELDS)
    rows = hive.query(
        f"SELECT {names} FROM {settings.database}.candle"
        " WHERE candle_date_time_utc >= %(start)s AND candle_date_time_utc < %(end)s",
        {"start": wire(start), "end": wire(end)},
    )
    return sorted((Candle(*row) for row in rows), key=key)


def audits(lake: Lake, hive: Hive, settings: Settings, truth: list[Candle], span: Span) -> dict[str, Audit]:
    """Lake and Hive against the exchange's candles of a span (UTC)."""
    return {"lake": audit(in_lake(lake, *span), truth), "Hive": audit(in_hive(hive, settings, *span), truth)}
