"""Half-open spans of time, [start, end): union, difference, gaps, pages. The one implementation; everybody uses it.

Whatever has a `start` and an `end` (aware datetimes, whole minutes) can be passed in; empty spans count as nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol


class Bounded(Protocol):
    """Anything that covers [start, end)."""

    @property
    def start(self) -> datetime:
        """The first moment."""
        ...

    @property
    def end(self) -> datetime:
        """The first moment that is no longer covered."""
        ...


class Interval(NamedTuple):
    """A half-open span [start, end)."""

    start: datetime
    end: datetime


def overlaps(first: Bounded, second: Bounded) -> bool:
    """Whether two spans share a moment."""
    return max(first.start, second.start) < min(first.end, second.end)


def intersection(first: Bounded, second: Bounded) -> Interval | None:
    """What two spans share, None when that is nothing."""
    start, end = max(first.start, second.start), min(first.end, second.end)
    return Interval(start, end) if start < end else None


def union(spans: Iterable[Bounded]) -> list[Interval]:
    """The same moments as disjoint spans that do not touch, oldest first."""
    joined: list[Interval] = []
    for span in sorted((s for s in spans if s.start < s.end), key=lambda s: s.start):
        if joined and span.start <= joined[-1].end:
            joined[-1] = Interval(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(Interval(span.start, span.end))
    return joined


def gaps(spans: Iterable[Bounded], start: datetime, end: datetime) -> list[Interval]:
    """What of [start, end) none of the spans covers, oldest first."""
    left = []
    for covered in union(spans):
        if covered.start >= end:
            break
        if covered.start > start:
            left.append(Interval(start, covered.start))
        start = max(start, covered.end)
    return [*left, Interval(start, end)] if start < end else left


def difference(spans: Iterable[Bounded], removed: Iterable[Bounded]) -> list[Interval]:
    """What the spans cover and `removed` does not, as disjoint spans, oldest first."""
    taken = union(removed)
    return [piece for span in union(spans) for piece in gaps(taken, span.start, span.end)]


def pages(span: Bounded, size: timedelta) -> Iterator[Interval]:
    """The span cut into pieces of `size`, newest first; the oldest one may be shorter."""
    end = span.end
    while end > span.start:
        first = max(span.start, end - size)
        yield Interval(first, end)
        end = first


def page_count(span: Bounded, size: timedelta) -> int:
    """Into how many pieces of `size` a span is cut."""
    return max(0, math.ceil((span.end - span.start) / size))


def joined_by_page(spans: Iterable[Bounded], size: timedelta) -> Iterator[Interval]:
    """Sorted disjoint spans, neighbours made one (with what lies between them) where that costs no more pages."""
    last: Interval | None = None
    for span in spans:
        piece = Interval(span.start, span.end)
        wide = Interval(last.start, piece.end) if last else piece
        if last and page_count(wide, size) > page_count(last, size) + page_count(piece, size):
            yield last
            wide = piece
        last = wide
    if last:
        yield last
