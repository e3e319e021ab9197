"""Larger candles are the true sums of the minutes; seconds resample to them; the running minute grows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from upbit_elt.errors import UnknownMarket
from upbit_elt.replica import Source, seconds
from upbit_elt.replica.bars import EMPTY, Bars, concat, group
from upbit_elt.replica.tape import Period, Tape, starts

END = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)
NOW = END.timestamp()
MARKETS = ["KRW-BTC", "KRW-DOGE", "KRW-JST", "BTC-ETH"]


@pytest.fixture
def tape(source: Source) -> Tape:
    return Tape(source)


def assert_same(left: Bars, right: Bars) -> None:
    """Prices and times exactly, sums to a part in 10^9."""
    for name in ("start", "open", "high", "low", "close", "timestamp"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
    np.testing.assert_allclose(left.volume, right.volume, rtol=1e-9)
    np.testing.assert_allclose(left.quote, right.quote, rtol=1e-9)


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("unit", [3, 60, 240])
def test_minutes_of_any_unit_are_the_sums_of_the_minutes(source: Source, tape: Tape, market: str, unit: int) -> None:
    candles = tape.minutes(market, unit, int(NOW), 40, NOW + 5 * 3600)
    first = datetime.fromtimestamp(int(candles.start[0]), UTC)
    rows = source.minutes(market, first, END + timedelta(minutes=unit))
    rows = rows.take(rows.start < candles.start[-1] + unit * 60)
    if unit == 60:
        assert len(candles) == 40
    assert_same(candles, group(rows, rows.start // (unit * 60) * (unit * 60)))


@pytest.mark.parametrize("period", ["days", "weeks", "months"])
def test_periods_are_the_sums_of_the_minutes(source: Source, tape: Tape, period: Period) -> None:
    candles = tape.periods("KRW-ADA", period, int(NOW), 2, NOW + 90 * 86_400)
    assert len(candles) == 2
    first = datetime.fromtimestamp(int(candles.start[0]), UTC)
    rows = source.minutes("KRW-ADA", first, END + timedelta(days=35))
    keys = starts(period, rows.start)
    assert_same(candles, group(rows.take(keys <= candles.start[-1]), keys[keys <= candles.start[-1]]))


def test_periods_start_where_upbit_starts_them() -> None:
    thursday = np.array([int(datetime(2026, 11, 26, 15, 7, tzinfo=UTC).timestamp())])
    expected = {"days": (2026, 11, 26), "weeks": (2026, 11, 23), "months": (2026, 11, 1), "years": (2026, 1, 1)}
    for period, date in expected.items():
        assert starts(period, thursday)[0] == datetime(*date, tzinfo=UTC).timestamp()  # type: ignore[arg-type]


def test_the_running_day_is_the_sum_of_what_is_shown(tape: Tape) -> None:
    day = tape.periods("KRW-BTC", "days", int(NOW) + 1, 1, NOW)
    shown = tape.minutes("KRW-BTC", 1, int(NOW) + 1, 721, NOW)
    shown = shown.take(shown.start >= day.start[0])
    assert_same(day, group(shown, np.full(len(shown), day.start[0])))


@pytest.mark.parametrize("market", MARKETS)
def test_seconds_resample_to_their_minute(source: Source, market: str) -> None:
    minutes = source.minutes(market, END - timedelta(hours=5), END)
    parts = [seconds.split(market, minutes.take(slice(row, row + 1))) for row in range(len(minutes))]
    rows = concat(parts)
    assert len(rows) > len(minutes)
    assert (np.diff(rows.start) > 0).all()
    assert_same(group(rows, rows.start // 60 * 60), minutes)
    assert (rows.volume > 0).all()
    assert (rows.low <= np.minimum(rows.open, rows.close)).all()
    assert (rows.high >= np.maximum(rows.open, rows.close)).all()
    assert (rows.quote >= rows.low * rows.volume * (1 - 1e-9)).all()
    assert (rows.quote <= rows.high * rows.volume * (1 + 1e-9)).all()


def test_the_running_minute_appears_grows_and_ends_as_the_closed_one(source: Source, tape: Tape) -> None:
    start = int(NOW) // 60 * 60
    closed = source.minutes("KRW-BTC", END.replace(second=0), END)
    states = [tape.minutes("KRW-BTC", 1, start + 1, 1, start + second) for second in range(63)]
    seen = [state for state in states if len(state) and state.start[0] == start]
    assert len(seen) < len(states)  # at second 0 it is not there yet
    assert (np.diff([state.volume[0] for state in seen]) >= 0).all()
    assert len({float(state.volume[0]) for state in seen}) > 5
    assert all(state.open[0] == closed.open[0] and state.timestamp[0] <= NOW * 1000 + 61_000 for state in seen)
    assert_same(seen[-1], closed)


def test_a_minute_whose_last_tick_is_late_changes_once_more_after_its_end(source: Source, tape: Tape) -> None:
    hours = source.minutes("KRW-BTC", END - timedelta(hours=6), END - timedelta(hours=1))
    late = hours.take(np.flatnonzero(hours.timestamp >= (hours.start + 60) * 1000)[:1])
    start = int(late.start[0])
    at_end = tape.minutes("KRW-BTC", 1, start + 1, 1, start + 60)
    a_second_later = tape.minutes("KRW-BTC", 1, start + 1, 1, start + 61)
    assert at_end.start[0] == a_second_later.start[0] == start
    assert at_end.volume[0] < a_second_later.volume[0]
    assert_same(a_second_later, late)


def test_nothing_of_the_future_is_shown(tape: Tape) -> None:
    shown = tape.minutes("KRW-BTC", 1, int(NOW) + 10_000, 5, NOW)
    assert shown.start[-1] <= NOW
    assert shown.timestamp[-1] <= NOW * 1000
    assert tape.seconds("KRW-BTC", int(NOW) + 10_000, 5, NOW).timestamp[-1] <= NOW * 1000


def test_seconds_reach_back_three_months(tape: Tape) -> None:
    assert len(tape.seconds("KRW-BTC", int(NOW) - 89 * 86_400, 200, NOW)) == 200
    assert len(tape.seconds("KRW-BTC", int(NOW) - 91 * 86_400, 200, NOW)) == 0


def test_a_thin_market_reaches_back_for_days(source: Source, tape: Tape) -> None:
    thin = min(
        (m.code for m in source.markets() if m.code.startswith("KRW-") and m.listed < END - timedelta(days=400)),
        key=lambda code: len(source.minutes(code, END - timedelta(days=5), END)),
    )
    rows = tape.minutes(thin, 1, int(NOW), 200, NOW)
    assert len(rows) == 200
    assert rows.start[-1] - rows.start[0] > 5 * 86_400


def test_paging_by_the_oldest_row_loses_and_repeats_nothing(source: Source, tape: Tape) -> None:
    pages, before = [EMPTY], int(NOW)
    while before > NOW - 2 * 86_400:
        pages.insert(0, tape.minutes("KRW-JST", 1, before, 200, NOW))
        before = int(pages[0].start[0])
    paged = concat(pages)
    expected = source.minutes("KRW-JST", datetime.fromtimestamp(before, UTC), END.replace(second=0))
    assert_same(paged, concat([expected, tape.minutes("KRW-JST", 1, int(NOW), 1, NOW)]).take(slice(len(paged))))


def test_before_the_listing_there_is_nothing(tape: Tape) -> None:
    long_ago = int(datetime(2017, 9, 25, 3, tzinfo=UTC).timestamp())
    assert len(tape.minutes("KRW-BTC", 1, long_ago, 200, NOW)) == 0
    assert len(tape.minutes("KRW-BTC", 1, long_ago + 1, 200, NOW)) == 1
    assert len(tape.periods("KRW-BTC", "days", long_ago - 86_400, 200, NOW)) == 0
    with pytest.raises(UnknownMarket, match="KRW-NOPE"):
        tape.minutes("KRW-NOPE", 1, int(NOW), 1, NOW)
