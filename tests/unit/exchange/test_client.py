from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from tests.support.clock import utc
from tests.support.exchange import NOT_FOUND, Exchange, Handler, headers_at, minute_row
from upbit_elt import errors
from upbit_elt.metrics import REGISTRY

NOW = utc(3, 0, 30)


def candles(*rows: dict[str, object]) -> Handler:
    return lambda path, query: (200, json.dumps(rows), headers_at(NOW))


def test_candles_are_typed_and_the_query_is_encoded(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, NOW, candles(minute_row("KRW-BTC", utc(2, 59), 162483000.0)))
    rows = exchange.client.minutes("KRW-BTC", to=utc(3), count=5)
    assert [(row.start, row.trade_price, row.unit) for row in rows] == [(utc(2, 59), 162483000.0, 1)]
    assert exchange.urls == ["http://exchange/v1/candles/minutes/1?market=KRW-BTC&count=5&to=2026-11-24T03%3A00%3A00Z"]
    assert "Origin" not in exchange.adapter.requests[0].headers
    assert exchange.client.server_time == NOW


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda c: c.minutes("KRW-BTC", 7), "allowed are 1, 3, 5"),
        (lambda c: c.minutes("KRW-BTC", count=201), "1 to 200"),
        (lambda c: c.days("KRW-BTC", count=0), "1 to 200"),
        (lambda c: c.weeks("BTC"), "like KRW-BTC"),
        (lambda c: c.months("KRW-BTC,KRW-ETH"), "one pair"),
        (lambda c: c.seconds("KRW-BTC", to=utc(1).replace(tzinfo=None)), "time zone"),
    ],
)
def test_wrong_parameters_are_refused_before_sending(tmp_path: Path, call: object, words: str) -> None:
    exchange = Exchange(tmp_path, NOW, candles())
    with pytest.raises(errors.InvalidRequest, match=words):
        call(exchange.client)  # type: ignore[operator]
    assert exchange.urls == []


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, '{"error":{"name":400,"message":"Type mismatch error."}}', errors.InvalidRequest),
        (404, NOT_FOUND, errors.UnknownMarket),
        (200, '[{"market":"KRW-BTC"}]', errors.BadResponse),
        (200, '{"market":"KRW-BTC"}', errors.BadResponse),
        (302, "", errors.BadResponse),
    ],
)
def test_terminal_errors_are_not_retried(tmp_path: Path, status: int, body: str, expected: type[Exception]) -> None:
    exchange = Exchange(tmp_path, NOW, lambda path, query: (status, body, headers_at(NOW)))
    with pytest.raises(expected):
        exchange.client.minutes("KRW-BTC")
    assert len(exchange.urls) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"high_price": 1.0},
        {"low_price": 999999.0},
        {"trade_price": 0.0},
        {"opening_price": float("nan")},
        {"candle_acc_trade_volume": -1.0},
        {"candle_date_time_kst": "2026-11-24T00:00:00"},
        {"candle_date_time_utc": "2026-11-24T02:58:30", "candle_date_time_kst": "2026-11-24T11:58:30"},
        {"market": "KRW-ETH"},
        {"unit": 2},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_candle_that_is_impossible_is_a_bad_response(tmp_path: Path, wrong: dict[str, object]) -> None:
    exchange = Exchange(tmp_path, NOW, candles(minute_row("KRW-BTC", utc(2, 59)) | wrong))
    with pytest.raises(errors.BadResponse):
        exchange.client.minutes("KRW-BTC")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, "Too many API requests."),
        (500, "oops"),
        (503, '{"error":{"name":"x","message":"y"}}'),
        (200, "<html>maintenance</html>"),
        (200, '[{"market":"KRW-B'),
    ],
)
def test_temporary_errors_are_retried(tmp_path: Path, status: int, body: str) -> None:
    answers = [(status, body, headers_at(NOW)), (200, "[]", headers_at(NOW))]
    exchange = Exchange(tmp_path, NOW, lambda path, query: answers.pop(0))
    assert exchange.client.minutes("KRW-BTC") == []
    assert len(exchange.urls) == 2


def test_a_connection_that_hangs_ends_as_unreachable(tmp_path: Path) -> None:
    def hang(path: str, query: dict[str, str]) -> tuple[int, str, dict[str, str]]:
        raise requests.ReadTimeout("read timed out")

    exchange = Exchange(tmp_path, NOW, hang)
    with pytest.raises(errors.Unreachable, match="ReadTimeout"):
        exchange.client.minutes("KRW-BTC")
    assert len(exchange.urls) == 4


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        ('{"error":{"name":418,"message":"blocked for 90 seconds"}}', {}, 90),
        ("IP blocked. Try again in 2 minutes", {}, 120),
        ("", {"Retry-After": "7"}, 60),
        ("blocked", {}, 300),
        ("More than 10 requests in 1 second: blocked for 30 minutes", {}, 1800),
        ("blocked for 1 hour and 30 minutes, after 100 requests in 2 minutes", {}, 5400),
        ("1시간 30분 동안 차단되었습니다", {}, 5400),
        ("blocked for 2 days", {}, 172800),
        ("blocked for 99999999999999999999 minutes", {}, 300),
        ("blocked for 999999999 days", {}, 3650 * 86400),
        ("blocked for 10 minutes", {"Retry-After": "120"}, 600),
        ("", {"Retry-After": str(int(NOW.timestamp()) + 600)}, 600),
        ("", {"Retry-After": str(int(NOW.timestamp()) * 1000 + 600_000)}, 600),
        ("", {"Retry-After": str(int(NOW.timestamp()) * 1_000_000 + 600_000_000)}, 600),
        ("", {"Retry-After": "Tue, 24 Nov 2026 03:10:30 GMT"}, 600),
        ("", {"Retry-After": "2026-11-24T12:10:30+09:00"}, 600),
        ("", {"Retry-After": "Tue, 24 Nov 2026 02:10:30 GMT"}, 300),
        ("", {"Retry-After": "0"}, 300),
        ("", {"Retry-After": "-1"}, 300),
        ("", {"Retry-After": "90.5"}, 90),
        ("", {"Retry-After": "soon"}, 300),
        ("", {"Retry-After": "9" * 25}, 3650 * 86400),
        ("", {"Retry-After": "9" * 5000}, 300),
    ],
)
def test_a_ban_stops_every_process_until_its_end(
    tmp_path: Path, body: str, headers: dict[str, str], seconds: int
) -> None:
    first = Exchange(tmp_path, NOW, lambda path, query: (418, body, headers_at(NOW, **headers)))
    with pytest.raises(errors.Banned) as banned:
        first.client.minutes("KRW-BTC")
    assert banned.value.until == NOW + timedelta(seconds=seconds)
    assert len(first.urls) == 1

    other = Exchange(tmp_path, NOW, lambda path, query: (200, "[]", headers_at(other.clock.now())))
    with pytest.raises(errors.Banned):
        other.client.tickers(["KRW"])
    assert other.urls == []
    other.clock.set(banned.value.until)
    assert other.client.minutes("KRW-BTC") == []


def test_a_ban_of_decades_ends_when_a_probe_is_answered(tmp_path: Path) -> None:
    blocked = (418, "blocked for 20000 days")
    answers = [blocked, blocked, (200, "[]"), (200, "[]")]
    exchange = Exchange(tmp_path, NOW, lambda path, query: (*answers.pop(0), headers_at(exchange.clock.now())))
    for wait, sent in ((0, 1), (86_399, 1), (1, 2), (86_399, 2)):
        exchange.clock.sleep(wait)
        with pytest.raises(errors.Banned):
            exchange.client.markets()
        assert len(exchange.urls) == sent
    exchange.clock.sleep(1)
    assert exchange.client.markets() == []
    assert exchange.client.tickers(["KRW"]) == []


@pytest.mark.parametrize("hours", [-9, 9])
def test_the_exchanges_time_does_not_depend_on_when_our_clock_is_set(tmp_path: Path, hours: int) -> None:
    exchange = Exchange(tmp_path, NOW, candles())
    exchange.client.markets()
    exchange.clock.step(timedelta(hours=hours))
    assert exchange.client.server_time == NOW
    exchange.client.markets()
    assert (exchange.client.server_time, exchange.client.usual_server_time) == (NOW, NOW)


def test_an_empty_second_is_waited_for_by_every_process(tmp_path: Path) -> None:
    empty = {"Remaining-Req": "group=candles; min=600; sec=0"}
    first = Exchange(tmp_path, NOW, lambda path, query: (200, "[]", headers_at(NOW, **empty)))
    first.client.minutes("KRW-BTC")
    other = Exchange(tmp_path, NOW, candles())
    other.client.minutes("KRW-BTC")
    assert other.clock.slept == [1.0]
    other.client.tickers(["KRW"])
    assert other.clock.slept == [1.0], "another group has tickets of its own"


def test_a_response_without_a_date_is_an_error(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, NOW, lambda path, query: (200, "[]", {}))
    with pytest.raises(errors.BadResponse, match="Date"):
        exchange.client.minutes("KRW-BTC")


def test_requests_are_counted_by_what_came_of_them(tmp_path: Path) -> None:
    def counts() -> dict[str, float]:
        name = "upbit_exchange_request_seconds_count"
        outcomes = ("ok", "rate_limited", "banned")
        found = {what: REGISTRY.get_sample_value(name, {"group": "candles", "outcome": what}) for what in outcomes}
        return {what: value or 0.0 for what, value in found.items()}

    replies = iter([(429, "Too many API requests."), (200, "[]"), (418, "blocked for 90 seconds")])
    exchange = Exchange(tmp_path, NOW, lambda path, query: (*next(replies), headers_at(NOW)))
    before = counts()
    exchange.client.minutes("KRW-BTC")
    for _ in range(2):  # the second is not sent
        with pytest.raises(errors.Banned):
            exchange.client.minutes("KRW-BTC")
    assert {what: count - before[what] for what, count in counts().items()} == {
        "ok": 1,
        "rate_limited": 1,
        "banned": 1,
    }
