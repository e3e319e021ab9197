"""Rechecks: minutes before the watermark that a run could not be sure of, and that later runs request again.

By the stored state of a recheck:

    quiet   the market was skipped because of the ticker: its next request reaches back to where the skips began
    empty   the exchange said that there is no older candle: its next request covers that once more
    hole    a row is quarantined or late: requested again 2, 4, 8, ... 1024 minutes after it was found. Before 8
            minutes only a candle fills the hole; from then on a response without one makes its minutes empty, so
            that only a row that stays bad, or requests that fail, take all these tries
    left    left to the backfill, which has a request for it

What remains after 1024 minutes (17 hours) stays a hole with its reason until the day is reconciled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from upbit_elt.candle import MINUTE
from upbit_elt.collect.fetch import FetchResult
from upbit_elt.collect.plan import PAGE, FetchPlan, FetchRequest
from upbit_elt.intervals import Interval, difference, intersection
from upbit_elt.lake.coverage import Recheck, Span

# A hole is due 1, 2, 4, ... 1024 minutes after it was found. With runs 2 minutes apart, the first two are one request.
TRIES = 11
# From this time after the hole was found a response without the candle counts; before it, the row may still be late.
LATE = timedelta(minutes=8)


def reread_since(rechecks: Iterable[Recheck]) -> dict[str, datetime]:
    """By market, the minute (UTC) back to which its next request reads again."""
    return {recheck.market: recheck.start for recheck in rechecks if recheck.state in ("quiet", "empty")}


def is_due(recheck: Recheck, before: datetime, end: datetime) -> bool:
    """Whether a run up to `end` (UTC) requests a hole again, when the run before covered up to `before` (UTC)."""
    return recheck.state == "hole" and any(
        before < recheck.found + 2**attempt * MINUTE <= end for attempt in range(TRIES)
    )


def due_requests(
    rechecks: Iterable[Recheck], markets: Collection[str], before: datetime, end: datetime
) -> tuple[FetchRequest, ...]:
    """Requests for the holes that are due; holes of a market that fit into one page share a request."""
    spans: dict[str, list[Recheck]] = defaultdict(list)
    for recheck in sorted(rechecks):
        if recheck.market in markets and is_due(recheck, before, end):
            spans[recheck.market].append(recheck)
    return tuple(request for market in sorted(spans) for request in _packed(market, spans[market]))


def _packed(market: str, rechecks: Sequence[Recheck]) -> list[FetchRequest]:
    requests: list[FetchRequest] = []
    for recheck in rechecks:
        if requests and recheck.end - requests[-1].start <= PAGE:
            requests[-1] = requests[-1]._replace(end=max(recheck.end, requests[-1].end))
        else:
            requests.append(FetchRequest(market, recheck.start, recheck.end))
    return requests


def resolved(rechecks: Iterable[Recheck], results: Sequence[FetchResult], end: datetime) -> list[Span]:
    """The parts of the holes that the results of a run up to `end` (UTC) account for, by candles or as empty.

    A hole had a row or a trade: until LATE after it was found, only a candle accounts for it. When the exchange says
    that it has no older candle, that does not count for the minutes before the oldest candle that came.
    """
    known: dict[str, list[Span]] = defaultdict(list)
    for result in results:
        oldest = min((candle.start for candle in result.candles), default=result.request.end)
        sure = oldest if result.nothing_older else result.request.start
        for span in result.spans():
            if span.state == "asked":
                known[span.market].append(span._replace(start=max(span.start, sure)))
    spans = []
    candles = [Span(c.market, c.start, c.start + MINUTE, "asked") for result in results for c in result.candles]
    for market, start, stop, state, found in rechecks:
        accounted = known[market] if end - found >= LATE else [span for span in candles if span.market == market]
        shared = [intersection(Interval(start, stop), span) for span in accounted] if state == "hole" else []
        spans += [Span(market, *piece, "asked") for piece in shared if piece]
    return spans


def after(
    rechecks: Iterable[Recheck],
    plan: FetchPlan,
    results: Sequence[FetchResult],
    closed: Sequence[Span],
    end: datetime,
    to_backfill: Sequence[Span] = (),
) -> tuple[Recheck, ...]:
    """The rechecks after a run up to `end` (UTC).

    `closed` are the holes of earlier runs that it filled, `to_backfill` those that it leaves to the backfill.
    """
    remaining: list[Recheck] = []
    reached = _reached(plan, results)
    skipped = {request.market for request in plan.inactive}
    for recheck in rechecks:
        if recheck.state == "left":
            remaining.append(recheck)
        elif recheck.state != "hole":
            remaining += [] if recheck.market in reached | skipped else [recheck]
        elif end - recheck.found <= 2 ** (TRIES - 1) * MINUTE:
            remaining += _without(recheck, closed)
    already_empty = {recheck.market for recheck in rechecks if recheck.state == "empty"}
    remaining += [
        Recheck(request.market, request.since or request.start, end, "quiet", end) for request in plan.inactive
    ]
    remaining += [
        Recheck(a.request.market, a.request.since or a.request.start, end, "empty", end)
        for a in results
        if a.nothing_older and not a.failure and a.request.market not in already_empty
    ]
    remaining += [
        Recheck(a.request.market, h.start, h.end, "hole", end) for a in results for h in a.holes if not a.failure
    ]
    remaining += [Recheck(span.market, span.start, span.end, "left", end) for span in to_backfill]
    return tuple(sorted(set(remaining)))


def _reached(plan: FetchPlan, results: Iterable[FetchResult]) -> set[str]:
    """Markets whose result reaches back to the minutes to recheck: not one of which only the newest part came."""
    starts = {request.market: request.start for request in plan.requests}
    return {
        result.request.market
        for result in results
        if not result.failure and result.request.start <= starts.get(result.request.market, result.request.start)
    }


def _without(recheck: Recheck, closed: Iterable[Span]) -> list[Recheck]:
    of_market = [span for span in closed if span.market == recheck.market]
    return [recheck._replace(start=start, end=end) for start, end in difference([recheck], of_market)]
