from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.support.clock import utc
from upbit_elt.collect.plan import OVERLAP, FetchRequest, closed_until, make_plan, until_settled
from upbit_elt.exchange.models import Ticker

END = utc(3, 4)
FIRST = END - timedelta(minutes=200)


def ticker(market: str, traded: datetime) -> Ticker:
    milliseconds = int(traded.timestamp() * 1000)
    return Ticker(
        market=market, trade_timestamp=milliseconds, trade_price=1, acc_trade_volume_24h=1, acc_trade_price_24h=1
    )


@pytest.mark.parametrize(
    ("now", "end", "wait"),
    [
        (utc(3, 4, 0), utc(3, 3), 2.0),
        (utc(3, 4, 1), utc(3, 3), 1.0),
        (utc(3, 4, 2), utc(3, 4), 0.0),
        (utc(3, 4, 59), utc(3, 4), 0.0),
    ],
)
def test_a_minute_is_closed_two_seconds_after_its_end(now: datetime, end: datetime, wait: float) -> None:
    assert closed_until(now) == end
    assert until_settled(now) == wait


def test_the_first_run_requests_the_last_minutes_of_every_market_even_if_inactive() -> None:
    plan = make_plan(["KRW-B", "KRW-A"], [ticker("KRW-A", utc(0))], {}, END, FIRST)
    assert plan.requests == (FetchRequest("KRW-A", FIRST, END, traded=utc(0)), FetchRequest("KRW-B", FIRST, END))
    assert plan.inactive == ()


def test_everything_since_the_watermark_is_requested_however_long_ago() -> None:
    plan = make_plan(["KRW-A"], [ticker("KRW-A", utc(3, 3))], {"KRW-A": utc(0, 1)}, END, FIRST)
    assert plan.requests == (FetchRequest("KRW-A", utc(0, 1), END, OVERLAP, traded=utc(3, 3)),)


@pytest.mark.parametrize(
    ("traded", "inactive"),
    [
        (utc(3, 1, 50), True),
        (utc(3, 1, 58), True),
        (utc(3, 1, 59), False),
        (utc(3, 2, 0), False),
        (utc(3, 3, 59), False),
    ],
)
def test_only_a_market_whose_last_trade_is_clearly_older_is_skipped(traded: datetime, inactive: bool) -> None:
    plan = make_plan(["KRW-A"], [ticker("KRW-A", traded)], {"KRW-A": utc(3, 2)}, END, FIRST)
    assert bool(plan.inactive) is inactive
    assert bool(plan.requests) is not inactive


def test_a_market_that_the_ticker_does_not_know_is_requested() -> None:
    plan = make_plan(["KRW-A"], [], {"KRW-A": utc(3, 2)}, END, FIRST)
    assert [request.market for request in plan.requests] == ["KRW-A"]


def test_a_market_that_is_up_to_date_is_left_alone() -> None:
    plan = make_plan(["KRW-A"], [ticker("KRW-A", utc(3, 3))], {"KRW-A": END}, END, FIRST)
    assert plan.requests == ()
    assert plan.inactive == ()
