"""Minutes that a run could not be sure of, how they are looked at again, and when that ends.

A market that is skipped on the ticker's word is in doubt since it was last asked: its next request reaches back to
there; so it does when the exchange said that there is nothing older. A refused or late row leaves a hole of its minutes
behind the watermark: it is asked for again, ever more rarely, for a day; after that it stays a hole with its reason,
which the reconciliation of the day takes up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from upbit_elt.candle import MINUTE
from upbit_elt.collect.fetch import FetchResult
from upbit_elt.collect.plan import PAGE, FetchRequest, Plan
from upbit_elt.intervals import Interval, difference, intersection
from upbit_elt.lake.coverage import Recheck, Span

# 1, 2, 4, ... minutes after it was found, the last time after 17 hours.
TRIES = 11
# So much later the exchange is believed that it has no such row; before, it may be late still.
LATE = timedelta(minutes=8)


def reread_since(rechecks: Iterable[Recheck]) -> dict[str, datetime]:
    """Per market the minute (UTC) from which on its next request reads again."""
    return {recheck.market: recheck.start for recheck in rechecks if recheck.state in ("quiet", "empty")}


def is_due(recheck: Recheck, before: datetime, end: datetime) -> bool:
    """Whether a run up to `end` (UTC), the last one having ended at `before`, asks for a hole again."""
    return recheck.state == "hole" and any(
        before < recheck.found + 2**attempt * MINUTE <= end for attempt in range(TRIES)
    )


def due_requests(
    rechecks: Iterable[Recheck], markets: Collection[str], before: datetime, end: datetime
) -> tuple[FetchRequest, ...]:
    """Requests for the holes that are due, neighbours within one page together."""
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
    """What of the holes the answers of a run up to `end` (UTC) account for: candles, or now known to be empty.

    Something had been there: for LATE after it was found only a candle counts, and that the exchange says it has
    nothing older is not believed of the minutes before the oldest candle that came.
    """
    known: dict[str, list[Span]] = defaultdict(list)
    for result in results:
        oldest = min((candle.start for candle in result.candles), default=result.request.end)
        sure = oldest if result.empty else result.request.start
        for span in result.spans():
            if span.state == "asked":
                known[span.market].append(span._replace(start=max(span.start, sure)))
    spans = []
    candles = [Span(c.market, c.start, c.start + MINUTE, "asked") for result in results for c in result.candles]
    for market, start, stop, state, found in rechecks:
        there = known[market] if end - found >= LATE else [span for span in candles if span.market == market]
        shared = [intersection(Interval(start, stop), span) for span in there] if state == "hole" else []
        spans += [Span(market, *piece, "asked") for piece in shared if piece]
    return spans


def after(
    rechecks: Iterable[Recheck],
    plan: Plan,
    results: Sequence[FetchResult],
    closed: Sequence[Span],
    end: datetime,
    to_backfill: Sequence[Span] = (),
) -> tuple[Recheck, ...]:
    """The doubts that a run up to `end` (UTC) leaves.

    `closed` are the holes of earlier runs that it healed, `to_backfill` those that it leaves to the backfill.
    """
    left: list[Recheck] = []
    starts = {request.market: request.start for request in plan.requests}
    # An answer of which only the newest part came has not reached back to what is in doubt.
    asked = {
        a.request.market
        for a in results
        if not a.failure and a.request.start <= starts.get(a.request.market, a.request.start)
    }
    skipped = {request.market for request in plan.inactive}
    for recheck in rechecks:
        if recheck.state == "left":
            left.append(recheck)
        elif recheck.state != "hole":
            left += [] if recheck.market in asked | skipped else [recheck]
        elif end - recheck.found <= 2 ** (TRIES - 1) * MINUTE:
            left += _without(recheck, closed)
    already_empty = {recheck.market for recheck in rechecks if recheck.state == "empty"}
    left += [Recheck(request.market, request.since or request.start, end, "quiet", end) for request in plan.inactive]
    left += [
        Recheck(a.request.market, a.request.since or a.request.start, end, "empty", end)
        for a in results
        if a.empty and not a.failure and a.request.market not in already_empty
    ]
    left += [Recheck(a.request.market, h.start, h.end, "hole", end) for a in results for h in a.holes if not a.failure]
    left += [Recheck(span.market, span.start, span.end, "left", end) for span in to_backfill]
    return tuple(sorted(set(left)))


def _without(recheck: Recheck, closed: Iterable[Span]) -> list[Recheck]:
    mine = [span for span in closed if span.market == recheck.market]
    return [recheck._replace(start=start, end=end) for start, end in difference([recheck], mine)]
