"""What a live run does not ask for, since it lies too long ago or did not fit into its time: the backfill brings it.

It is a hole with that reason, in the same publish as the newest minutes. Where a day is not touched by the run, the
hole stands in the newest footer's doubts until the request for it is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from upbit_elt.candle import KST, kst_day
from upbit_elt.collect.plan import FetchRequest, Plan
from upbit_elt.holes import HoleReason
from upbit_elt.intervals import overlaps
from upbit_elt.lake.backfill_queue import BackfillQueue, Request, make_request
from upbit_elt.lake.coverage import Recheck, Span

# A live run reaches back at least so long, and to the half of the KST day before: a run that is repeated asks for the
# same, and touches two days at most.
REACH = timedelta(hours=6)
HOUR = timedelta(hours=1)


def reach_of(end: datetime) -> datetime:
    """The minute (UTC) back to which a live run up to `end` asks."""
    moment = (end - REACH).astimezone(KST)
    return moment.replace(hour=moment.hour // 12 * 12, minute=0).astimezone(end.tzinfo)


def within_reach(plan: Plan, end: datetime) -> Plan:
    """The plan without what lies before the reach of a live run up to `end` (UTC)."""
    first = reach_of(end)
    return Plan(
        tuple(_from(request, first) for request in plan.requests),
        tuple(_from(request, first) for request in plan.inactive),
    )


def starts_of(plan: Plan) -> Mapping[str, datetime]:
    """Where (UTC) the span of each market of a plan begins."""
    return {request.market: request.start for request in (*plan.requests, *plan.inactive)}


def beyond_reach(plan: Plan, asked: Iterable[FetchRequest]) -> list[Span]:
    """What of a plan lies before the spans that were asked (and answered) or are inactive."""
    starts = starts_of(plan)
    return [
        Span(request.market, starts[request.market], request.start, "hole", HoleReason.LEFT_TO_BACKFILL)
        for request in asked
        if starts[request.market] < request.start
    ]


def requests_for(left: Sequence[Span], now: datetime, run: str) -> list[Request]:
    """Backfill requests for holes: one for all that begin on the same KST day."""
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
    """The doubts without those that were left to a backfill request that is done, or was cancelled."""
    rechecks = tuple(rechecks)
    if not any(recheck.state == "left" for recheck in rechecks):
        return rechecks
    waiting = queue.open()
    return tuple(d for d in rechecks if d.state != "left" or any(_concerns(request, d) for request in waiting))


def _from(request: FetchRequest, first: datetime) -> FetchRequest:
    if request.start >= first:
        return request
    # Nothing before is read again: it is not known either.
    return request._replace(start=first, overlap=0, since=None)


def _concerns(request: Request, recheck: Recheck) -> bool:
    return (not request.markets or recheck.market in request.markets) and overlaps(request, recheck)


def _hour_after(moment: datetime) -> datetime:
    hour = moment.replace(minute=0)
    return hour if hour == moment else hour + HOUR
