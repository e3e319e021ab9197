from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.clock import ManualClock, utc
from tests.support.exchange import HandlerAdapter, headers_at, minute_row, session_on
from upbit_elt.errors import BadResponse
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.limits import AddressLimits
from upbit_elt.exchange.pager import Pages


class Market:
    """An exchange with one market that trades in some minutes only; counts the requests."""

    def __init__(self, folder: Path, traded: list[datetime]) -> None:
        self._traded, self.fails = traded, False
        clock = ManualClock(utc(12))
        self.adapter = HandlerAdapter(self._reply)
        limits = AddressLimits(folder, 10, clock)
        self.client = UpbitClient("http://exchange", limits, clock, session=session_on(self.adapter))

    def _reply(self, path: str, query: dict[str, str]) -> tuple[int, str, dict[str, str]]:
        if self.fails:
            return 302, "", headers_at(utc(12))
        to = datetime.fromisoformat(query["to"])
        older = [moment for moment in self._traded if moment < to]
        rows = [minute_row("KRW-A", moment) for moment in sorted(older, reverse=True)[: int(query["count"])]]
        return 200, json.dumps(rows), headers_at(utc(12))

    def request(self, start: datetime, end: datetime, overlap: int = 0) -> list[datetime]:
        return starts(whole(Pages.of("KRW-A", start, end, overlap=overlap), self.client))


def whole(pages: Pages, client: UpbitClient) -> Pages:
    while not pages.done:
        pages = pages.request(client)
    return pages


def starts(pages: Pages) -> list[datetime]:
    return [row.start for row in reversed(pages.arrived.rows)]


def every_minute(start: datetime, count: int) -> list[datetime]:
    return [start + timedelta(minutes=i) for i in range(count)]


def test_a_long_span_comes_complete_and_in_order(tmp_path: Path) -> None:
    traded = every_minute(utc(0), 600)
    market = Market(tmp_path, traded)
    assert market.request(utc(0), utc(10)) == traded
    assert len(market.adapter.requests) == 3, "600 minutes are three requests of 200"


def test_a_thin_market_costs_one_request_and_keeps_only_the_span(tmp_path: Path) -> None:
    market = Market(tmp_path, [utc(1), utc(5, 30), utc(9, 59), utc(10)])
    assert market.request(utc(5), utc(10)) == [utc(5, 30), utc(9, 59)]
    assert len(market.adapter.requests) == 1


def test_the_minutes_before_the_span_come_with_the_same_request(tmp_path: Path) -> None:
    market = Market(tmp_path, every_minute(utc(0), 300))
    assert market.request(utc(3), utc(3, 2), overlap=5) == every_minute(utc(2, 55), 7)
    assert len(market.adapter.requests) == 1


def test_a_market_without_candles_is_empty(tmp_path: Path) -> None:
    market = Market(tmp_path, [])
    assert market.request(utc(0), utc(10)) == []


def test_a_page_that_failed_is_requested_again_and_the_pages_before_it_stay(tmp_path: Path) -> None:
    market = Market(tmp_path, every_minute(utc(0), 600))
    pages = Pages.of("KRW-A", utc(0), utc(10)).request(market.client)
    assert (pages.reached, pages.done) == (utc(6, 40), False)
    market.fails = True
    with pytest.raises(BadResponse):
        pages.request(market.client)
    assert starts(pages) == every_minute(utc(6, 40), 200)
    market.fails = False
    assert starts(whole(pages, market.client)) == every_minute(utc(0), 600)
