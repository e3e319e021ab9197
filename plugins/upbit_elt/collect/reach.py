"""How far back a live run reaches; the backfill fetches what lies before, or did not fit into the run's time.

Such a span becomes a hole with the reason LEFT_TO_BACKFILL, published together with the newest minutes, and a backfill
request. On a day that the run publishes nothing of, the hole stands in the newest footer's rechecks until the request
is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from upbit_elt.candle import KST, kst_day
from upbit_elt.collect.plan import FetchPlan, FetchRequest
from upbit_elt.holes import HoleReason
from upbit_elt.intervals import overlaps
from upbit_elt.lake.backfill_queue import BackfillQueue, Request, make_request
from upbit_elt.lake.coverage import Recheck, Span

# A live run reaches back at least so long, down to a full half of a KST day: so a repeated run requests the same span,
# and publishes two days at most.
REACH = timedelta(hours=6)
HOUR = timedelta(hours=1)


def reach_of(end: datetime) -> datetime:
    """The first minute (UTC) that a live run up to `end` (UTC) requests."""
    moment = (end - REACH).astimezone(KST)
    return moment.replace(hour=moment.hour // 12 * 12, minute=0).astimezone(end.tzinfo)


def within_reach(plan: FetchPlan, end: datetime) -> FetchPlan:
    """The plan without the minutes that lie too long ago for a live run up to `end` (UTC)."""
    first = reach_of(end)
    return FetchPlan(
        tuple(_from(request, first) for request in plan.requests),
        tuple(_from(request, first) for request in plan.inactive),
    )


def starts_of(plan: FetchPlan) -> Mapping[str, datetime]:
    """The start (UTC) of each market's span in a plan."""
    return {request.market: request.start for request in (*plan.requests, *plan.inactive)}


def beyond_reach(plan: FetchPlan, done: Iterable[FetchRequest]) -> list[Span]:
    """Holes for the spans of a plan that lie before `done`: requests that succeeded, or of inactive markets."""
    starts = starts_of(plan)
    return [
        Span(request.market, starts[request.market], request.start, "hole", HoleReason.LEFT_TO_BACKFILL)
        for request in done
        if starts[request.market] < request.start
    ]


def requests_for(left: Sequence[Span], now: datetime, run: str) -> list[Request]:
    """Backfill requests for holes, one for all that begin on the same KST day; `now` in UTC, `run` is its id."""
    days: dict[str, list[Span]] = {}
    for span in left:
        days.setdefault(kst_day(span.start), []).append(span)
    return [
        make_request(
            min(span.start for span in spans),
            _hour_after(max(span.end for span in spans)),
            {span.market for span in spans},
            now,
            run,
        )
        for spans in days.values()
    ]


def still_waiting(rechecks: Iterable[Recheck], queue: BackfillQueue) -> tuple[Recheck, ...]:
    """The rechecks without those left to a backfill request that is done or cancelled by now."""
    rechecks = tuple(rechecks)
    if not any(recheck.state == "left" for recheck in rechecks):
        return rechecks
    waiting = queue.open()
    return tuple(d for d in rechecks if d.state != "left" or any(_concerns(request, d) for request in waiting))


def _from(request: FetchRequest, first: datetime) -> FetchRequest:
    if request.start >= first:
        return request
    # No overlap: the minutes before `first` are left to the backfill, so they are not read again either.
    return request._replace(start=first, overlap=0, since=None)


def _concerns(request: Request, recheck: Recheck) -> bool:
    return (not request.markets or recheck.market in request.markets) and overlaps(request, recheck)


def _hour_after(moment: datetime) -> datetime:
    hour = moment.replace(minute=0)
    return hour if hour == moment else hour + HOUR
