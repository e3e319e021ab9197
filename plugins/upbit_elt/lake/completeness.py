"""Which minutes of a KST day that is over are still missing, by its files' footers alone."""

from __future__ import annotations

from collections.abc import Iterable

from upbit_elt.candle import day_end, day_start
from upbit_elt.holes import HoleReason
from upbit_elt.intervals import Interval, gaps, overlaps
from upbit_elt.lake import ledger
from upbit_elt.lake.coverage import Coverage, Span, by_market
from upbit_elt.lake.parquet import read_coverage
from upbit_elt.lake.webhdfs import Lake


def missing(lake: Lake, day: str, live: Coverage) -> list[Span]:
    """The spans (UTC) of a KST day that no file of its current snapshot accounts for, as holes with their reason.

    It covers the markets that the day's files name and that were still listed at the end of `live`, the newest live
    coverage: no day waits for a market that was delisted, or listed only later.
    """
    snapshot = ledger.current(lake, "candle", day)
    files = ledger.files(lake, snapshot, day) if snapshot else []
    coverages = [read_coverage(lake, file.path, file.size) for file in files]
    known = by_market(span for coverage in coverages for span in coverage.known())
    holes = by_market(span for coverage in coverages for span in coverage.holes())
    return [
        Span(market, *gap, "hole", *_reason(holes[market], gap))
        for market in sorted(listed(live) & (known.keys() | holes.keys()))
        for gap in gaps(known[market], day_start(day), day_end(day))
    ]


def collected(lake: Lake, day: str) -> bool:
    """Whether live runs had a part in a KST day; only the backfill decides when other days are complete."""
    snapshot = ledger.current(lake, "candle", day)
    files = ledger.files(lake, snapshot, day) if snapshot else []
    return any(read_coverage(lake, file.path, file.size).watermark for file in reversed(files))


def listed(live: Coverage) -> set[str]:
    """The markets that the exchange listed at the end of `live`: the coverage or a hole of each reaches up to there."""
    reached = {market for market, minute in live.watermark.items() if minute >= live.end}
    return reached | {hole.market for hole in live.holes() if hole.market in live.watermark and hole.end == live.end}


def _reason(holes: Iterable[Span], gap: Interval) -> tuple[HoleReason, str]:
    reasons = [(hole.reason, hole.detail) for hole in holes if overlaps(hole, gap)]
    return reasons[-1] if reasons else (HoleReason.NOT_REQUESTED, "")
