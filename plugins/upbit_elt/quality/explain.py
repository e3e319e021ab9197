"""Explain one minute of a market: what every file that still exists says about it, newest snapshot first."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import pyarrow.compute as pc

from upbit_elt.candle import KST, MINUTE, Candle, day_end, day_start, from_table, kst_day, wire
from upbit_elt.errors import NotCollected
from upbit_elt.intervals import contains
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.isolation import isolated
from upbit_elt.lake.parquet import coverage_of, decode
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality import results
from upbit_elt.quality.coverage_report import CANDLE, EMPTY, INACTIVE, PROVEN, Firsts, Hole, grid_of, read_keys
from upbit_elt.quality.results import DayResult, MarketResult

_WORDS = {PROVEN: "empty (proven)", EMPTY: "empty (asked)", INACTIVE: "empty (quiet)", CANDLE: "candle"}


class Evidence(NamedTuple):
    """What one file says about the minute.

    `run` wrote the file, `span` is the market's span around the minute, `candles` are those of the minute, and
    `current` says whether the file belongs to the day's current snapshot.
    """

    path: str
    run: str
    span: Span | None
    candles: list[Candle]
    current: bool


@dataclass(frozen=True)
class Chain:
    """All that the lake knows about a minute (UTC) of a market.

    `state` is in words. `waiting` is the evidence of staged history. `first` and `watermark` (UTC) are the market's,
    None for one that live runs do not collect. `day_result` is the reconciliation of the day, `market_result` that
    of the market in it.
    """

    market: str
    minute: datetime
    state: str
    evidence: list[Evidence]
    waiting: list[Evidence]
    first: datetime | None
    watermark: datetime | None
    covered_until: datetime
    day_state: str
    day_result: DayResult | None
    market_result: MarketResult | None


def explain(lake: Lake, market: str, minute: datetime, now: datetime) -> Chain:
    """Collect the evidence of a market's minute (UTC); after `now` (UTC) a minute is still to come, not missing.

    Raises:
        NotCollected: the lake is empty, does not know the market (on that day), or does not reach to the minute.
    """
    known = _known(lake, market, minute, now)
    day = kst_day(minute)
    firsts = Firsts(lake)
    began = firsts.began()
    if began is None or minute < began:
        raise NotCollected(f"{_kst(minute)} is before collection began: the lake's first minute is {_kst(began)}")
    grid = grid_of(lake, known, firsts, day, minute, minute + MINUTE, [market])
    row = grid.markets.index(market)
    hole = Hole(minute, minute + MINUTE, *grid.reasons[grid.reason[row, 0]])
    state = _WORDS.get(int(grid.state[row, 0]), f"hole: {hole.words}")
    day_state, day_result = results.state_of(lake, day)
    return Chain(
        market=market,
        minute=minute,
        state=state,
        evidence=list(_evidence(lake, market, minute, day)),
        waiting=list(_waiting(lake, market, minute, day)),
        first=firsts.of(market) if market in known.watermark else None,
        watermark=known.watermark.get(market),
        covered_until=known.end,
        day_state=day_state,
        day_result=day_result,
        market_result=results.read(lake, day_result).get(market),
    )


def _known(lake: Lake, market: str, minute: datetime, now: datetime) -> Coverage:
    known = ledger.live_coverage(lake)
    if known is None:
        raise NotCollected("the lake is empty; start collecting first")
    if market not in known.watermark and not _mentioned(lake, market, kst_day(minute)):
        raise NotCollected(
            f"{market}: not collected here ({len(known.watermark)} markets are), and none of its history of "
            f"{kst_day(minute)} was fetched by a backfill{near(market, known.watermark)}"
        )
    if minute >= known.end:
        if minute > now:
            raise NotCollected(f"{_kst(minute)} is in the future; it is {_kst(now)} now")
        raise NotCollected(f"{_kst(minute)} is not collected yet: the lake reaches until {_kst(known.end)}")
    return known


def near(market: str, known: Iterable[str]) -> str:
    """The text `; did you mean ...?` with the most similar known names; "" when there are none."""
    names = difflib.get_close_matches(market, known, n=3)
    return f"; did you mean {', '.join(names)}?" if names else ""


def _mentioned(lake: Lake, market: str, day: str) -> bool:
    """Whether a file of a KST day accounts for a minute of the market."""
    coverages = (coverage for _, coverage in read_keys(lake, day, day_start(day), day_end(day), []))
    return any(span.market == market for coverage in coverages for span in coverage.spans)


def _evidence(lake: Lake, market: str, minute: datetime, day: str) -> Iterator[Evidence]:
    snapshots = ledger.snapshots(lake, "candle", day)
    for snapshot in reversed(snapshots):
        for file in reversed(ledger.files(lake, snapshot, day)):
            if contains(file, minute):
                found = _of_file(lake, file.path, market, minute, current=snapshot == snapshots[-1])
                if found and (found.span or found.candles):
                    yield found


def _waiting(lake: Lake, market: str, minute: datetime, day: str) -> Iterator[Evidence]:
    """Yield the evidence of staged history, of a day that the backfill has not completed."""
    folder = layout.backfill_folder(lake.root, day)
    for entry in lake.list(folder):
        if not entry.name.startswith("_"):
            found = _of_file(lake, f"{folder}/{entry.name}", market, minute, current=False)
            if found and (found.span or found.candles):
                yield found


def _of_file(lake: Lake, path: str, market: str, minute: datetime, *, current: bool) -> Evidence | None:
    """The evidence of a file, None when it cannot be read."""
    troubles: dict[str, str] = {}
    with isolated(lake, path, troubles):
        return _read(lake, path, market, minute, current=current)
    return None


def _read(lake: Lake, path: str, market: str, minute: datetime, *, current: bool) -> Evidence:
    data = lake.read(path)
    coverage = coverage_of(data, path)
    spans = [span for span in coverage.spans if span.market == market and contains(span, minute)]
    strongest = min(spans, key=lambda span: ("asked", "quiet", "hole").index(span.state), default=None)
    here = (pc.field("market") == market) & (pc.field("candle_date_time_utc") == wire(minute))
    return Evidence(path, coverage.run, strongest, from_table(decode(data, path).filter(here)), current)


def _kst(moment: datetime | None) -> str:
    return f"{moment.astimezone(KST):%Y-%m-%d %H:%M} KST" if moment else "not there"
