from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.clock import utc
from tests.support.exchange import minute_row
from upbit_elt.exchange.validation import Page, validate_page
from upbit_elt.replica.bad_rows import BAD_ROWS

TO = utc(3, 5)
TIMES = [utc(3, 4), utc(3, 3), utc(3, 1), utc(3, 0), utc(2, 59)]  # no trade in 03:02
HARMLESS = {"twice", "added field"}


def page(rows: list[Any], to: datetime = TO) -> Page:
    return validate_page(rows, "KRW-A", 1, to)


def rows() -> list[Any]:
    return [minute_row("KRW-A", moment) for moment in TIMES]


def minutes_to_recheck(found: Page) -> set[datetime]:
    return {
        row.start + timedelta(minutes=i)
        for row in found.quarantined
        for i in range(int((row.end - row.start).seconds / 60))
    }


def test_good_rows_pass_validation() -> None:
    found = page(rows())
    assert [row.start for row in found.rows] == TIMES
    assert (found.quarantined, found.trailing, found.added, found.oldest) == ((), (), (), utc(2, 59))


@pytest.mark.parametrize("kind", sorted(set(BAD_ROWS) - HARMLESS))
def test_a_bad_row_leaves_its_minute_to_recheck_and_the_others_stay(kind: str) -> None:
    sent = rows()
    sent[1:2] = BAD_ROWS[kind](sent[1])
    found = page(sent)
    assert [row.start for row in found.rows] == [moment for moment in TIMES if moment != utc(3, 3)]
    assert utc(3, 3) in minutes_to_recheck(found)
    assert minutes_to_recheck(found) <= {utc(3, 3), utc(3, 2)}, "no more than up to its neighbours"
    quarantined = [item.row for item in found.quarantined]
    assert all(any(one is row for one in quarantined) for row in sent if row not in rows()), "kept as received"
    assert all(item.reason for item in found.quarantined)


def test_a_row_that_comes_twice_counts_once() -> None:
    sent = rows()
    found = page([sent[0], sent[0], *sent[1:]])
    assert [row.start for row in found.rows] == TIMES
    assert minutes_to_recheck(found) == set()
    assert [item.reason for item in found.quarantined] == ["a second row of the same minute"]


def test_a_new_field_is_logged_and_its_row_passes() -> None:
    found = page([row | {"colour": "red"} for row in rows()])
    assert [row.start for row in found.rows] == TIMES
    assert found.added == ("colour",)
    assert "colour" not in found.rows[0].to_candle().__slots__


def test_a_row_without_a_time_stands_for_any_minute_between_its_neighbours() -> None:
    sent = [minute_row("KRW-A", utc(3, 4)), "nonsense", minute_row("KRW-A", utc(3, 0))]
    (quarantined,) = page(sent).quarantined
    assert (quarantined.start, quarantined.end) == (utc(3, 1), utc(3, 4))


def test_rows_behind_the_last_believed_one_are_left_to_the_next_page() -> None:
    found = page([*rows(), {"market": "KRW-A"}])
    assert found.quarantined == ()
    assert [(item.start, item.end) for item in found.trailing] == [(utc(2, 59), utc(2, 59))]


def test_a_tick_that_is_stored_a_little_late_is_valid() -> None:
    late = minute_row("KRW-A", utc(3, 4)) | {"timestamp": int(utc(3, 5).timestamp() * 1000) + 348}
    assert len(page([late]).rows) == 1
