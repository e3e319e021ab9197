"""Interval arithmetic against the same done minute by minute on sets."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import utc
from upbit_elt.candle import MINUTE, minute_count, split_by_day
from upbit_elt.intervals import (
    Interval,
    contains,
    difference,
    gaps,
    intersection,
    joined_by_page,
    overlaps,
    page_count,
    pages,
    union,
)

START = utc(3)
SPANS = st.builds(lambda a, b: Interval(START + a * MINUTE, START + b * MINUTE), st.integers(0, 40), st.integers(0, 40))
LISTS = st.lists(SPANS, max_size=12)
SIZES = st.integers(1, 9).map(lambda minutes: minutes * MINUTE)


def minutes(spans: Iterable[Interval]) -> set[int]:
    return {n for start, end in spans for n in range((start - START) // MINUTE, (end - START) // MINUTE)}


def are_tidy(spans: list[Interval]) -> bool:
    """Oldest first, none empty, none touching the next."""
    return all(span.start < span.end for span in spans) and all(a.end < b.start for a, b in pairwise(spans))


@given(LISTS)
def test_a_union_has_the_same_minutes_in_as_few_spans_as_can_be(spans: list[Interval]) -> None:
    found = union(spans)
    assert minutes(found) == minutes(spans)
    assert are_tidy(found)


@given(LISTS, SPANS)
def test_gaps_are_what_no_span_covers(spans: list[Interval], window: Interval) -> None:
    found = gaps(spans, window.start, window.end)
    assert minutes(found) == minutes([window]) - minutes(spans)
    assert are_tidy(found)


@given(LISTS, LISTS)
def test_a_difference_leaves_what_was_not_removed(spans: list[Interval], removed: list[Interval]) -> None:
    found = difference(spans, removed)
    assert minutes(found) == minutes(spans) - minutes(removed)
    assert are_tidy(found)


@given(SPANS, SPANS)
def test_the_intersection_of_two_spans(first: Interval, second: Interval) -> None:
    shared = intersection(first, second)
    assert minutes([shared] if shared else []) == minutes([first]) & minutes([second])
    assert overlaps(first, second) is (shared is not None)


@given(SPANS, SIZES)
def test_pages_cover_a_span_from_its_end_and_only_the_oldest_is_short(span: Interval, size: timedelta) -> None:
    found = list(pages(span, size))
    assert len(found) == page_count(span, size)
    assert minutes(found) == minutes([span])
    assert all(page.end - page.start == size for page in found[:-1])
    assert found == sorted(found, reverse=True)


@given(LISTS, SIZES)
def test_spans_are_joined_only_where_it_costs_no_more_pages(spans: list[Interval], size: timedelta) -> None:
    apart = union(spans)
    found = list(joined_by_page(apart, size))
    assert minutes(found) >= minutes(apart)
    assert sum(page_count(span, size) for span in found) <= sum(page_count(span, size) for span in apart)


def test_neighbours_within_a_page_become_one_and_far_ones_stay() -> None:
    near = [Interval(START + n * MINUTE, START + (n + 9) * MINUTE) for n in range(0, 190, 10)]
    assert list(joined_by_page(near, 200 * MINUTE)) == [(START, START + 189 * MINUTE)]
    far = [Interval(START, START + 10 * MINUTE), Interval(START + 900 * MINUTE, START + 910 * MINUTE)]
    assert list(joined_by_page(far, 200 * MINUTE)) == far


def test_a_moment_is_in_a_span_from_its_start_to_before_its_end() -> None:
    span = Interval(utc(3), utc(3, 2))
    assert [contains(span, moment) for moment in (utc(2, 59), utc(3), utc(3, 1), utc(3, 2))] == [
        False,
        True,
        True,
        False,
    ]


def test_a_span_is_split_at_kst_midnight() -> None:
    assert list(split_by_day(Interval(utc(14, 58), utc(15, 1)))) == [
        ("261124", Interval(utc(14, 58), utc(15))),
        ("261125", Interval(utc(15), utc(15, 1))),
    ]
    assert list(split_by_day(Interval(utc(3), utc(3)))) == []
    assert (minute_count(Interval(utc(14, 58), utc(15, 1))), minute_count(None)) == (3, 0)
