from __future__ import annotations

from datetime import datetime, timedelta

from tests.support.clock import utc
from tests.unit.forecast.market import candle
from upbit_elt.candle import MINUTE
from upbit_elt.collect.fetch import Failure, FetchResult
from upbit_elt.collect.plan import FetchPlan, FetchRequest, make_plan
from upbit_elt.collect.recheck import LATE, TRIES, after, due_requests, reread_since, resolved
from upbit_elt.exchange.models import Ticker
from upbit_elt.holes import HoleReason
from upbit_elt.lake.coverage import Recheck, Span

DOWN = Failure(HoleReason.SERVER_TROUBLE, "503")
HOLE = Recheck("KRW-A", utc(3, 1), utc(3, 2), "hole", utc(3, 2))
NOTHING = FetchPlan((), ())
MUCH_LATER = HOLE.found + LATE


def ticker(market: str, traded: datetime) -> Ticker:
    stamp = int(traded.timestamp() * 1000)
    return Ticker(market=market, trade_timestamp=stamp, trade_price=1, acc_trade_volume_24h=1, acc_trade_price_24h=1)


def tries(recheck: Recheck, hours: int) -> list[int]:
    """Minutes after which runs every two minutes request a hole again that is never filled."""
    requested, before = [], recheck.found
    rechecks: tuple[Recheck, ...] = (recheck,)
    while before < recheck.found + timedelta(hours=hours):
        end = before + 2 * MINUTE
        if due_requests(rechecks, ["KRW-A"], before, end):
            requested.append(int((end - recheck.found) / MINUTE))
        rechecks = after(rechecks, NOTHING, [], [], end)
        before = end
    assert rechecks == ()
    return requested


def test_a_row_that_stays_bad_is_requested_ever_more_rarely_and_then_no_more() -> None:
    assert tries(HOLE, hours=200) == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert len(tries(HOLE, hours=200)) < TRIES


def test_a_run_in_the_same_minute_requests_no_hole() -> None:
    assert due_requests([HOLE], ["KRW-A"], utc(3, 2), utc(3, 2)) == ()


def test_holes_of_one_page_are_one_request_and_a_delisted_market_is_requested_no_more() -> None:
    other = HOLE._replace(start=utc(0, 30), end=utc(0, 31))
    far = HOLE._replace(start=utc(0, 0) - timedelta(hours=9), end=utc(0, 1) - timedelta(hours=9))
    requested = due_requests([HOLE, other, far], ["KRW-A"], utc(3, 2), utc(3, 4))
    assert requested == (FetchRequest("KRW-A", far.start, far.end), FetchRequest("KRW-A", utc(0, 30), utc(3, 2)))
    assert due_requests([HOLE], ["KRW-B"], utc(3, 2), utc(3, 4)) == ()


def test_a_span_that_a_response_covers_is_rechecked_no_more() -> None:
    wide = HOLE._replace(start=utc(3), end=utc(3, 3))
    quarantined = Span("KRW-A", utc(3, 1), utc(3, 2), "hole", HoleReason.QUARANTINED_ROW, "again")
    spans = resolved([wide], [FetchResult(FetchRequest("KRW-A", utc(3), utc(3, 3)), holes=(quarantined,))], MUCH_LATER)
    assert [(span.start, span.end) for span in spans] == [(utc(3), utc(3, 1)), (utc(3, 2), utc(3, 3))]
    (left,) = after([wide], NOTHING, [], spans, utc(3, 6))
    assert (left.start, left.end, left.found) == (utc(3, 1), utc(3, 2), utc(3, 2))
    assert resolved([wide], [FetchResult(FetchRequest("KRW-A", utc(3), utc(3, 3)), failure=DOWN)], MUCH_LATER) == []


def test_a_skip_is_remembered_until_the_market_is_requested() -> None:
    market = "KRW-A"
    rechecks: tuple[Recheck, ...] = ()
    for minute in (2, 4, 6):
        plan = make_plan([market], [ticker(market, utc(2))], {market: utc(3, minute - 2)}, utc(3, minute), utc(0),
                         reread_since(rechecks))  # fmt: skip
        assert [request.market for request in plan.inactive] == [market]
        rechecks = after(rechecks, plan, [], [], utc(3, minute))
    assert reread_since(rechecks) == {market: utc(3)}


def test_a_ticker_that_contradicts_an_earlier_skip_makes_a_request_that_reaches_back() -> None:
    """The trade at 03:01 was not in the stale ticker of 03:02; at 03:04 it is, though it lies before the watermark."""
    skipped = Recheck("KRW-A", utc(3), utc(3, 2), "quiet", utc(3, 2))
    seen = [ticker("KRW-A", utc(3, 1, 10))]
    plan = make_plan(["KRW-A"], seen, {"KRW-A": utc(3, 2)}, utc(3, 4), utc(0), reread_since([skipped]))
    assert [(request.start, request.since) for request in plan.requests] == [(utc(3, 2), utc(3))]
    assert after([skipped], plan, [FetchResult(plan.requests[0])], [], utc(3, 4)) == ()
    assert after([skipped], plan, [FetchResult(plan.requests[0], failure=DOWN)], [], utc(3, 4)) == (skipped,)


def test_a_response_of_which_only_the_newest_part_came_leaves_the_skip_to_recheck() -> None:
    """Found by the fault tests: 57 candles of skipped minutes were never requested again."""
    skipped = Recheck("KRW-A", utc(3), utc(3, 2), "quiet", utc(3, 2))
    plan = make_plan(["KRW-A"], [], {"KRW-A": utc(3, 2)}, utc(9), utc(0), reread_since([skipped]))
    part = FetchResult(plan.requests[0], failure=DOWN, reached=utc(6)).arrived_part()
    assert part.request.start == utc(6)
    assert after([skipped], plan, [part], [], utc(9)) == (skipped,)


def test_nothing_older_is_requested_twice() -> None:
    request = FetchRequest("KRW-A", utc(3), utc(3, 2))
    (recheck,) = after([], NOTHING, [FetchResult(request, nothing_older=True)], [], utc(3, 2))
    assert (recheck.state, recheck.start) == ("empty", utc(3))
    later = FetchRequest("KRW-A", utc(3, 2), utc(3, 4), since=utc(3))
    assert after([recheck], NOTHING, [FetchResult(later, nothing_older=True)], [], utc(3, 4)) == ()


def test_an_empty_response_fills_no_hole() -> None:
    assert (
        resolved([HOLE], [FetchResult(FetchRequest("KRW-A", HOLE.start, HOLE.end), nothing_older=True)], MUCH_LATER)
        == []
    )
    assert resolved([HOLE], [FetchResult(FetchRequest("KRW-A", HOLE.start, HOLE.end))], MUCH_LATER) == [
        Span("KRW-A", HOLE.start, HOLE.end, "asked")
    ]


def test_a_row_that_may_still_be_late_is_not_taken_for_none() -> None:
    request = FetchRequest("KRW-A", HOLE.start, HOLE.end)
    assert resolved([HOLE], [FetchResult(request)], HOLE.found + LATE - MINUTE) == []
    came = FetchResult(request, candles=(candle("KRW-A", HOLE.start, 100.0),))
    assert resolved([HOLE], [came], HOLE.found + MINUTE) == [Span("KRW-A", HOLE.start, HOLE.end, "asked")]
