from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import utc
from upbit_elt.errors import LakeCorrupt, LakeTooNew
from upbit_elt.holes import HoleReason
from upbit_elt.lake.coverage import Coverage, Span, merge

COVERAGE = Coverage(
    utc(1),
    utc(1, 4),
    "run-1",
    (
        Span("KRW-A", utc(1), utc(1, 4), "asked"),
        Span("KRW-B", utc(1), utc(1, 4), "hole", HoleReason.SERVER_TROUBLE, "500"),
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


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"version":2}', b'{"version":"3"}', COVERAGE.to_json().replace(b'"KRW-A",', b"")]
)
def test_a_broken_footer_is_named_as_such(data: bytes) -> None:
    with pytest.raises(LakeCorrupt):
        Coverage.from_json(data)


def test_a_hole_that_was_filled_later_is_gone_and_the_rest_of_it_stays() -> None:
    later = Coverage(utc(1), utc(1, 6), "run-2", (Span("KRW-B", utc(1), utc(1, 3), "asked"),), {"KRW-B": utc(1, 3)})
    whole = merge([COVERAGE, later], "roll")
    assert whole.holes() == [Span("KRW-B", utc(1, 3), utc(1, 4), "hole", HoleReason.SERVER_TROUBLE, "500")]
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


@pytest.mark.parametrize(
    ("state", "sentence", "reason", "detail"),
    [
        ("hole", "banned until 2026-11-24T02:01:00Z", HoleReason.BANNED, "banned until 2026-11-24T02:01:00Z"),
        ("hole", "ServerTrouble: https://x: 500 oh", HoleReason.SERVER_TROUBLE, "https://x: 500 oh"),
        ("hole", "UnknownMarket: 404 Code not found", HoleReason.DELISTED, "404 Code not found"),
        ("hole", "refused row: trade_price: -1", HoleReason.QUARANTINED_ROW, "trade_price: -1"),
        ("hole", "late row: the ticker says 03:01", HoleReason.LATE_ROW, "the ticker says 03:01"),
        ("hole", "words of some other release", HoleReason.BAD_RESPONSE, "words of some other release"),
        ("asked", "not listed yet", HoleReason.NOT_LISTED, ""),
        ("asked", "adopt:old.parquet", HoleReason.NONE, "adopt:old.parquet"),
        ("quiet", "", HoleReason.NONE, ""),
    ],
)
def test_a_footer_of_the_release_before_is_read(state: str, sentence: str, reason: HoleReason, detail: str) -> None:
    document = {
        "version": 1,
        "start": "202611240100",
        "end": "202611240104",
        "run": "run-1",
        "markets": ["KRW-A"],
        "spans": [["202611240100", "202611240104", state, sentence, [0]]],
        "watermark": [["202611240100", [0]]],
    }
    (span,) = Coverage.from_json(json.dumps(document).encode()).spans
    assert (span.state, span.reason, span.detail) == (state, reason, detail)


def test_a_footer_of_a_newer_release_is_not_taken_for_damage() -> None:
    with pytest.raises(LakeTooNew):
        Coverage.from_json(b'{"version":3,"more":[]}')


@given(st.integers(0, len(COVERAGE.to_json()) - 1), st.integers(1, 255))
def test_a_changed_byte_is_always_seen_and_never_taken_for_a_newer_release(place: int, flip: int) -> None:
    data = bytearray(COVERAGE.to_json())
    data[place] ^= flip
    with contextlib.suppress(LakeCorrupt):
        assert Coverage.from_json(bytes(data)) == COVERAGE
