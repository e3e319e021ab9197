"""The outcome of a live run, for XCom, the command line and logs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from upbit_elt.collect.fetch import FetchResult
from upbit_elt.lake.coverage import Coverage
from upbit_elt.lake.publish import Published

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Collected:
    """What a run fetched and published, for XCom and logs: its span [start, end) (UTC), counts, and the files.

    `files` are sorted, oldest day first. `outage` says in words why every request for candles failed; it is "" when one
    succeeded, or none was due.
    """

    start: datetime
    end: datetime
    markets: int
    requested: int
    inactive: int
    holes: tuple[str, ...]
    candles: int
    repaired: int
    quarantined: int
    new_fields: tuple[str, ...]
    files: tuple[Published, ...]
    outage: str = ""

    def __str__(self) -> str:
        span = f"{self.start:%Y-%m-%dT%H:%MZ} to {self.end:%Y-%m-%dT%H:%MZ}"
        words = (
            f"{self.requested} requested, {self.inactive} inactive, {len(self.holes)} holes, {self.repaired} repaired"
        )
        words += f", {self.quarantined} rows quarantined" if self.quarantined else ""
        return f"{span}: {self.candles} candles of {self.markets} markets ({words})"


def collected_of(
    coverage: Coverage,
    results: Sequence[FetchResult],
    *,
    markets: int,
    requested: int,
    inactive: int,
    repaired: int,
    quarantined: int,
    files: tuple[Published, ...],
    outage: str,
) -> Collected:
    """Sum up a run that published `coverage` of these results, and log its holes and new fields.

    A hole of a market that the exchange delisted during the run is only information.
    """
    holes = coverage.holes()
    delisted = {result.request.market for result in results if result.delisted}
    for span in holes:
        level = logging.INFO if span.market in delisted else logging.WARNING
        log.log(level, "hole, requested again later: %s %s to %s: %s", span.market, span.start, span.end, span.why)
    added = tuple(sorted({name for result in results for name in result.added}))
    if added:
        log.warning("the exchange's candles have new fields, which are not stored: %s", ", ".join(added))
    return Collected(
        start=coverage.start,
        end=coverage.end,
        markets=markets,
        requested=requested,
        inactive=inactive,
        holes=tuple(f"{span.market}: {span.why}" for span in holes),
        candles=sum(len(result.candles) for result in results),
        repaired=repaired,
        quarantined=quarantined,
        new_fields=added,
        files=files,
        outage=outage,
    )
