"""Arithmetic of half-open spans of time, [start, end): union, difference, gaps, pages.

Every object with a `start` and an `end` (aware datetimes, whole minutes) is a span; empty spans are ignored.
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


def contains(span: Bounded, moment: datetime) -> bool:
    """Whether a moment lies within a span."""
    return span.start <= moment < span.end


def intersection(first: Bounded, second: Bounded) -> Interval | None:
    """The span that two spans share; None when they do not overlap."""
    start, end = max(first.start, second.start), min(first.end, second.end)
    return Interval(start, end) if start < end else None


def union(spans: Iterable[Bounded]) -> list[Interval]:
    """Merge spans into disjoint ones that do not touch, oldest first."""
    joined: list[Interval] = []
    for span in sorted((s for s in spans if s.start < s.end), key=lambda s: s.start):
        if joined and span.start <= joined[-1].end:
            joined[-1] = Interval(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(Interval(span.start, span.end))
    return joined


def gaps(spans: Iterable[Bounded], start: datetime, end: datetime) -> list[Interval]:
    """The parts of [start, end) that no span covers, oldest first."""
    left = []
    for covered in union(spans):
        if covered.start >= end:
            break
        if covered.start > start:
            left.append(Interval(start, covered.start))
        start = max(start, covered.end)
    return [*left, Interval(start, end)] if start < end else left


def difference(spans: Iterable[Bounded], removed: Iterable[Bounded]) -> list[Interval]:
    """The parts of the spans that `removed` does not cover, as disjoint spans, oldest first."""
    taken = union(removed)
    return [piece for span in union(spans) for piece in gaps(taken, span.start, span.end)]


def pages(span: Bounded, size: timedelta) -> Iterator[Interval]:
    """Yield pieces of length `size` of a span, newest first; the oldest one may be shorter."""
    end = span.end
    while end > span.start:
        first = max(span.start, end - size)
        yield Interval(first, end)
        end = first


def page_count(span: Bounded, size: timedelta) -> int:
    """Number of pieces that `pages` yields for a span."""
    return max(0, math.ceil((span.end - span.start) / size))


def joined_by_page(spans: Iterable[Bounded], size: timedelta) -> Iterator[Interval]:
    """Join neighbouring spans, including the gap between them, where this needs no more pages of length `size`.

    `spans` are sorted and disjoint.
    """
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
