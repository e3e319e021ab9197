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
from upbit_elt.collect.fetch import Answer
from upbit_elt.collect.plan import PAGE, Ask, Plan
from upbit_elt.intervals import Interval, difference, intersection
from upbit_elt.lake.coverage import Doubt, Span

# 1, 2, 4, ... minutes after it was found, the last time after 17 hours.
TRIES = 11
# So much later the exchange is believed that it has no such row; before, it may be late still.
LATE = timedelta(minutes=8)


def quiet_since(doubts: Iterable[Doubt]) -> dict[str, datetime]:
    """Per market the minute (UTC) from which on its next request reads again."""
    return {doubt.market: doubt.start for doubt in doubts if doubt.state in ("quiet", "empty")}


def is_due(doubt: Doubt, before: datetime, end: datetime) -> bool:
    """Whether a run up to `end` (UTC), the last one having ended at `before`, asks for a hole again."""
    return doubt.state == "hole" and any(before < doubt.found + 2**attempt * MINUTE <= end for attempt in range(TRIES))


def again(doubts: Iterable[Doubt], markets: Collection[str], before: datetime, end: datetime) -> tuple[Ask, ...]:
    """Requests for the holes that are due, neighbours within one page together."""
    spans: dict[str, list[Doubt]] = defaultdict(list)
    for doubt in sorted(doubts):
        if doubt.market in markets and is_due(doubt, before, end):
            spans[doubt.market].append(doubt)
    return tuple(ask for market in sorted(spans) for ask in _packed(market, spans[market]))


def _packed(market: str, doubts: Sequence[Doubt]) -> list[Ask]:
    asks: list[Ask] = []
    for doubt in doubts:
        if asks and doubt.end - asks[-1].start <= PAGE:
            asks[-1] = asks[-1]._replace(end=max(doubt.end, asks[-1].end))
        else:
            asks.append(Ask(market, doubt.start, doubt.end))
    return asks


def healed(doubts: Iterable[Doubt], answers: Sequence[Answer], end: datetime) -> list[Span]:
    """What of the holes the answers of a run up to `end` (UTC) account for: candles, or now known to be empty.

    Something had been there: for LATE after it was found only a candle counts, and that the exchange says it has
    nothing older is not believed of the minutes before the oldest candle that came.
    """
    known: dict[str, list[Span]] = defaultdict(list)
    for answer in answers:
        oldest = min((candle.start for candle in answer.candles), default=answer.ask.end)
        sure = oldest if answer.empty else answer.ask.start
        for span in answer.spans():
            if span.state == "asked":
                known[span.market].append(span._replace(start=max(span.start, sure)))
    spans = []
    candles = [Span(c.market, c.start, c.start + MINUTE, "asked") for answer in answers for c in answer.candles]
    for market, start, stop, state, found in doubts:
        there = known[market] if end - found >= LATE else [span for span in candles if span.market == market]
        shared = [intersection(Interval(start, stop), span) for span in there] if state == "hole" else []
        spans += [Span(market, *piece, "asked") for piece in shared if piece]
    return spans


def after(
    doubts: Iterable[Doubt],
    plan: Plan,
    answers: Sequence[Answer],
    closed: Sequence[Span],
    end: datetime,
    to_backfill: Sequence[Span] = (),
) -> tuple[Doubt, ...]:
    """The doubts that a run up to `end` (UTC) leaves.

    `closed` are the holes of earlier runs that it healed, `to_backfill` those that it leaves to the backfill.
    """
    left: list[Doubt] = []
    starts = {ask.market: ask.start for ask in plan.asks}
    # An answer of which only the newest part came has not reached back to what is in doubt.
    asked = {a.ask.market for a in answers if not a.failure and a.ask.start <= starts.get(a.ask.market, a.ask.start)}
    skipped = {ask.market for ask in plan.quiet}
    for doubt in doubts:
        if doubt.state == "left":
            left.append(doubt)
        elif doubt.state != "hole":
            left += [] if doubt.market in asked | skipped else [doubt]
        elif end - doubt.found <= 2 ** (TRIES - 1) * MINUTE:
            left += _without(doubt, closed)
    heard = {doubt.market for doubt in doubts if doubt.state == "empty"}
    left += [Doubt(ask.market, ask.since or ask.start, end, "quiet", end) for ask in plan.quiet]
    left += [
        Doubt(a.ask.market, a.ask.since or a.ask.start, end, "empty", end)
        for a in answers
        if a.empty and not a.failure and a.ask.market not in heard
    ]
    left += [Doubt(a.ask.market, h.start, h.end, "hole", end) for a in answers for h in a.holes if not a.failure]
    left += [Doubt(span.market, span.start, span.end, "left", end) for span in to_backfill]
    return tuple(sorted(set(left)))


def _without(doubt: Doubt, closed: Iterable[Span]) -> list[Doubt]:
    mine = [span for span in closed if span.market == doubt.market]
    return [doubt._replace(start=start, end=end) for start, end in difference([doubt], mine)]
