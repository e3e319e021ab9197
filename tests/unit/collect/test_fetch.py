from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.clock import ManualClock, utc
from tests.support.exchange import NOT_FOUND, HandlerAdapter, Reply, headers_at, session_on
from tests.support.state import in_use
from upbit_elt.collect.fetch import fetch
from upbit_elt.collect.plan import FetchRequest
from upbit_elt.errors import LeaseHeld
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.limits import AddressLimits
from upbit_elt.holes import HoleReason

REQUESTS = [FetchRequest(f"KRW-{number}", utc(1), utc(1, 2)) for number in range(100)]


def row_of(market: str) -> str:
    return json.dumps([{"market": market, "korean_name": market, "english_name": market}])


def exchange(
    folder: Path, status: int = 200, body: str = "[]", listing: tuple[int, str] = (200, "[]")
) -> tuple[UpbitClient, HandlerAdapter]:
    def result(path: str, query: dict[str, str]) -> Reply:
        return (*(listing if path == "/v1/market/all" else (status, body)), headers_at(utc(2)))

    adapter = HandlerAdapter(result)
    clock = ManualClock(utc(2))
    limits = AddressLimits(folder, 1000, clock)
    return UpbitClient("http://exchange", limits, clock, session=session_on(adapter)), adapter


def test_a_collector_that_lost_its_lease_sends_no_more(tmp_path: Path) -> None:
    client, adapter = exchange(tmp_path)

    def lost() -> None:
        raise LeaseHeld("taken over")

    with pytest.raises(LeaseHeld):
        list(fetch(client, REQUESTS, workers=2, tick=lost))
    client.close()
    assert len(adapter.requests) < len(REQUESTS) / 2


def test_after_a_ban_nothing_more_is_sent_and_every_market_says_why(tmp_path: Path) -> None:
    client, adapter = exchange(tmp_path, 418, "blocked for 60 seconds")
    results = list(fetch(client, REQUESTS, workers=2, tick=lambda: None))
    client.close()
    assert len(results) == len(REQUESTS)
    assert {result.failure and result.failure.reason for result in results} == {HoleReason.BANNED}
    assert all("until 2026-11-24T02:01" in result.trouble for result in results)
    assert not any(result.delisted for result in results)
    assert len(adapter.requests) <= 2


def test_a_rate_limit_that_others_use_all_the_time_costs_its_requests_and_never_the_run(tmp_path: Path) -> None:
    adapter, clock = HandlerAdapter(lambda *_: (200, "[]", headers_at(utc(2)))), ManualClock(utc(2))
    limits = AddressLimits(tmp_path, 1000, clock, patience=0.02)
    client = UpbitClient("http://exchange", limits, clock, session=session_on(adapter))
    with in_use(tmp_path / "limits.db"):
        results = list(fetch(client, REQUESTS[:3], workers=2, tick=lambda: None))
    assert {result.failure and result.failure.reason for result in results} == {HoleReason.OUT_OF_TIME}
    assert all("limits.db was in use by other processes" in result.trouble for result in results)
    assert adapter.requests == []
    assert [result.trouble for result in fetch(client, REQUESTS[:3], workers=2, tick=lambda: None)] == [""] * 3
    client.close()


@pytest.mark.parametrize(
    ("status", "body", "listing", "final"),
    [
        (404, NOT_FOUND, (200, row_of("KRW-1")), True),
        (404, NOT_FOUND, (200, row_of("KRW-0")), False),
        (404, NOT_FOUND, (404, "no route"), False),
        (200, "<html>", (200, row_of("KRW-1")), False),
        (400, "{}", (200, row_of("KRW-1")), False),
    ],
)
def test_only_a_market_that_the_exchange_neither_knows_nor_lists_is_delisted(
    tmp_path: Path, status: int, body: str, listing: tuple[int, str], final: bool
) -> None:
    client, _ = exchange(tmp_path, status, body, listing)
    (result,) = fetch(client, REQUESTS[:1], workers=1, tick=lambda: None)
    client.close()
    assert result.failure
    assert result.delisted is final
