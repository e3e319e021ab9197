from __future__ import annotations

import pytest

from tests.support.clock import utc
from upbit_elt.errors import LakeCorrupt
from upbit_elt.lake.coverage import Coverage, Span, covered, gaps, merge

COVERAGE = Coverage(
    utc(1),
    utc(1, 4),
    "run-1",
    (
        Span("KRW-A", utc(1), utc(1, 4), "asked"),
        Span("KRW-B", utc(1), utc(1, 4), "hole", "ServerTrouble: 500"),
        Span("KRW-C", utc(1, 2), utc(1, 4), "quiet"),
    ),
    {"KRW-A": utc(1, 4), "KRW-B": utc(1), "KRW-C": utc(1, 4), "KRW-GONE": utc(0)},
)


def test_the_footer_says_what_was_put_in() -> None:
    assert Coverage.from_json(COVERAGE.to_json()) == COVERAGE


def test_equal_spans_share_an_entry_so_that_a_footer_stays_small() -> None:
    markets = [f"KRW-{i:03}" for i in range(300)]
    spans = tuple(Span(market, utc(1), utc(1, 2), "asked") for market in markets)
    data = Coverage(utc(1), utc(1, 2), "run", spans, dict.fromkeys(markets, utc(1, 2))).to_json()
    assert len(data) < 6000


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"version":2}', COVERAGE.to_json().replace(b'"KRW-A",', b"")])
def test_a_broken_footer_is_named_as_such(data: bytes) -> None:
    with pytest.raises(LakeCorrupt):
        Coverage.from_json(data)


def test_a_hole_that_was_healed_later_is_gone_and_the_rest_of_it_stays() -> None:
    later = Coverage(utc(1), utc(1, 6), "run-2", (Span("KRW-B", utc(1), utc(1, 3), "asked"),), {"KRW-B": utc(1, 3)})
    whole = merge([COVERAGE, later], "roll")
    assert whole.holes() == [Span("KRW-B", utc(1, 3), utc(1, 4), "hole", "ServerTrouble: 500")]
    assert (whole.start, whole.end) == (utc(1), utc(1, 6))
    assert whole.watermark == {**COVERAGE.watermark, "KRW-B": utc(1, 3)}


def test_touching_spans_become_one() -> None:
    parts = [
        Coverage(utc(1, m), utc(1, m + 2), "r", (Span("KRW-A", utc(1, m), utc(1, m + 2), "asked"),)) for m in (2, 0)
    ]
    assert merge(parts, "roll").spans == (Span("KRW-A", utc(1), utc(1, 4), "asked"),)


def test_the_part_before_midnight_ends_at_midnight() -> None:
    older = COVERAGE.clipped(utc(0), utc(1, 3))
    assert {span.end for span in older.spans} == {utc(1, 3)}
    assert older.watermark == {"KRW-A": utc(1, 3), "KRW-B": utc(1), "KRW-C": utc(1, 3), "KRW-GONE": utc(0)}


def test_what_nobody_asked_is_a_gap() -> None:
    spans = [Span("KRW-A", utc(2), utc(3), "asked"), Span("KRW-A", utc(1), utc(1, 30), "quiet")]
    assert covered(spans) == [(utc(1), utc(1, 30)), (utc(2), utc(3))]
    assert gaps(spans, utc(0), utc(4)) == [(utc(0), utc(1)), (utc(1, 30), utc(2)), (utc(3), utc(4))]
    assert gaps(spans, utc(2, 10), utc(2, 50)) == []
    assert gaps([], utc(0), utc(1)) == [(utc(0), utc(1))]
