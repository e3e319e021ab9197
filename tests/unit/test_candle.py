from __future__ import annotations

import pytest

from tests.support.clock import utc
from upbit_elt.candle import day_end, day_start, days_between, kst_day, parse_wire, wire, wire_kst


def test_the_day_of_a_candle_is_its_korean_day() -> None:
    assert kst_day(utc(14, 59, day=23)) == "261123"
    assert kst_day(utc(15, 0, day=23)) == "261124"
    assert (day_start("261124"), day_end("261124")) == (utc(15, day=23), utc(15, day=24))


def test_a_span_across_korean_midnight_touches_two_days() -> None:
    assert list(days_between(utc(14, 59, day=23), utc(15, 1, day=23))) == ["261123", "261124"]
    assert list(days_between(utc(14, 58, day=23), utc(15, 0, day=23))) == ["261123"]
    assert list(days_between(utc(1), utc(1))) == []


def test_wire_strings_have_no_zone() -> None:
    assert (wire(utc(1, 2)), wire_kst(utc(1, 2))) == ("2026-11-24T01:02:00", "2026-11-24T10:02:00")
    assert parse_wire("2026-11-24T01:02:00") == utc(1, 2)


@pytest.mark.parametrize(
    "text", ["2026-11-24 01:02:00", "2026-11-24T01:02:00Z", "2026-W48-2T01:02:00", "2026-11-24T01:62:00", ""]
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"of the form|must be in"):
        parse_wire(text)
