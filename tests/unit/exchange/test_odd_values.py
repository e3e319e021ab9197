"""Odd numbers and texts in what the exchange says: they cost their own row, never an exception of another kind."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import utc
from tests.support.exchange import Exchange, Handler, headers_at, minute_row
from upbit_elt import errors
from upbit_elt.exchange.validation import validate_page

NOW = utc(3, 5, 10)
TO = utc(3, 5)
MS = int(utc(3, 4, 59).timestamp() * 1000)
ODD_TIMES = [
    MS * 1000,
    MS * 1_000_000,
    MS // 1000,
    0,
    -1,
    10**30,
    float("inf"),
    float("nan"),
    True,
    None,
    str(MS),
    [MS],
]


def answering(body: object, **headers: str) -> Handler:
    text = body if isinstance(body, str) else json.dumps(body)
    return lambda path, query: (200, text, headers_at(NOW) | headers)


def ticker(market: str, traded: object) -> dict[str, object]:
    return {
        "market": market,
        "trade_timestamp": traded,
        "trade_price": 1.0,
        "acc_trade_volume_24h": 1.0,
        "acc_trade_price_24h": 1.0,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("timestamp", value) for value in ODD_TIMES),
        *(("trade_price", value) for value in (10**400, float("inf"), float("-inf"), True, "\ud800", {"a": [1]})),
        ("candle_date_time_utc", "9999-12-31T23:59:00"),
        ("candle_date_time_utc", "0001-01-01T00:00:00"),
        ("candle_date_time_utc", list("2026-11-24T03:03:00")),
        ("candle_date_time_utc", "2026-11-24T03:0\ud800:00"),
        ("market", "KRW-\ud800"),
        ("unit", 10**400),
        ("\ud800", 1),
    ],
)
def test_an_odd_value_costs_its_own_minute(name: str, value: Any) -> None:
    rows = [minute_row("KRW-A", utc(3, minute)) for minute in (4, 3, 2)]
    rows[1] |= {name: value}
    page = validate_page(rows, "KRW-A", 1, TO)
    assert [row.start for row in page.rows] == [utc(3, 4), utc(3, 2)]
    (quarantined,) = page.quarantined
    assert (quarantined.start, quarantined.end, quarantined.row) == (utc(3, 3), utc(3, 4), rows[1])
    assert quarantined.reason.isprintable()
    assert len(quarantined.reason) < 500


def test_a_time_without_a_second_witness_is_not_believed() -> None:
    rows = [minute_row("KRW-A", utc(3, minute)) for minute in (4, 3, 2)]
    rows[1] |= {"candle_date_time_utc": rows[0]["candle_date_time_utc"], "timestamp": None}
    del rows[1]["candle_date_time_kst"]
    page = validate_page(rows, "KRW-A", 1, TO)
    assert [row.start for row in page.rows] == [utc(3, 4), utc(3, 2)]
    assert [(row.start, row.end) for row in page.quarantined] == [(utc(3, 3), utc(3, 4))]


def test_a_stray_row_of_long_ago_does_not_skip_what_lies_between() -> None:
    stray = minute_row("KRW-A", utc(3, 3) - timedelta(days=400))
    page = validate_page([minute_row("KRW-A", utc(3, 4)), stray, minute_row("KRW-A", utc(3, 2))], "KRW-A", 1, TO)
    assert page.oldest == utc(3, 2)
    assert [(row.start, row.end) for row in page.quarantined] == [(utc(3, 3), utc(3, 4))]


def test_names_of_new_fields_are_fit_for_logs() -> None:
    page = validate_page([minute_row("KRW-A", utc(3, 4)) | {"a\x00" + "b" * 5000: 1}], "KRW-A", 1, TO)
    assert page.added == ("a\\x00" + "b" * 58,)


@pytest.mark.parametrize("traded", [*ODD_TIMES, int(utc(3, 7).timestamp() * 1000)])
def test_a_ticker_with_a_time_that_makes_no_sense_is_as_none(tmp_path: Path, traded: object) -> None:
    exchange = Exchange(tmp_path, NOW, answering([ticker("KRW-A", MS), ticker("KRW-B", traded), ticker("KRW-C", MS)]))
    assert [row.market for row in exchange.client.tickers(["KRW"])] == ["KRW-A", "KRW-C"]


@pytest.mark.parametrize("code", ["KRW-\ud800", "KRW-", "", "KRW-A,KRW-B", "KRW-A\n", "KRW-\x00", "K" * 99, None, 7])
def test_a_market_with_an_invalid_code_is_left_out(tmp_path: Path, code: object) -> None:
    exchange = Exchange(
        tmp_path, NOW, answering([{"market": "KRW-A"}, {"market": code}, [], "KRW-B", {"market": "KRW-B"}])
    )
    assert [row.market for row in exchange.client.markets()] == ["KRW-A", "KRW-B"]


def test_a_name_that_cannot_be_read_does_not_cost_the_market(tmp_path: Path) -> None:
    row = {"market": "KRW-A", "korean_name": "\ud800", "english_name": 7, "market_event": "none"}
    exchange = Exchange(tmp_path, NOW, answering([row]))
    assert [market.market for market in exchange.client.markets()] == ["KRW-A"]


def test_a_market_that_is_listed_twice_is_one(tmp_path: Path) -> None:
    names = ["KRW-A", "KRW-B", "KRW-A"]
    exchange = Exchange(
        tmp_path, NOW, answering([{"market": name, "korean_name": "비", "english_name": "b"} for name in names])
    )
    assert [market.market for market in exchange.client.markets()] == ["KRW-A", "KRW-B"]


def test_a_number_of_thousands_of_digits_costs_its_row_alone(tmp_path: Path) -> None:
    rows = [{"market": "KRW-A"}, {"market": 7}]
    exchange = Exchange(tmp_path, NOW, answering(json.dumps(rows).replace("7", "7" * 5000)))
    assert [market.market for market in exchange.client.markets()] == ["KRW-A"]


def test_nesting_without_end_is_a_garbled_body(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, NOW, answering("[" * 100_000))
    with pytest.raises(errors.Garbled):
        exchange.client.markets()
    deep = '{"market":"KRW-A","x":' + "[" * 900 + "]" * 900 + "}"
    assert Exchange(tmp_path, NOW, answering(f"[{deep}]")).client.markets()[0].market == "KRW-A"


@pytest.mark.parametrize("body", [b"\xff\xfe\x00", b'[{"market":"KRW-\xff"}]', b"", b"[1e]"])
def test_bytes_that_are_no_json_are_a_garbled_body(tmp_path: Path, body: bytes) -> None:
    headers = headers_at(NOW, **{"Content-Type": "application/json;charset=undefined"})
    exchange = Exchange(tmp_path, NOW, lambda path, query: (200, body, headers))
    with pytest.raises(errors.Garbled):
        exchange.client.markets()


@pytest.mark.parametrize(
    "date",
    [
        "", "soon", "Tue, 24 Nov 9999 03:05:10 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", "Tue, 24 Nov 2026 03:05:10 +9999",
        "Tue, 24 Nov 2027 03:05:10 GMT", "Tue, 24 Nov 99999 03:05:10 GMT", "Tue, 24 Nov 2026 03:05:10 -99999999999999",
    ],
)  # fmt: skip
def test_an_impossible_date_header_costs_no_row_and_sets_no_clock(tmp_path: Path, date: str) -> None:
    exchange = Exchange(tmp_path, NOW, answering([{"market": "KRW-A"}], Date=date))
    assert [market.market for market in exchange.client.markets()] == ["KRW-A"]
    with pytest.raises(errors.BadResponse, match="Date"):
        _ = exchange.client.server_time


def test_a_date_without_a_zone_is_utc(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, NOW, answering([], Date="Tue, 24 Nov 2026 03:05:10 -0000"))
    exchange.client.markets()
    assert exchange.client.server_time == NOW


@pytest.mark.parametrize("remaining", ["sec=" + "9" * 5000, "sec=", "sec=-1", "group=\x00; sec=٣", "sec=0.5"])
def test_an_invalid_ticket_count_is_ignored(tmp_path: Path, remaining: str) -> None:
    exchange = Exchange(tmp_path, NOW, answering([{"market": "KRW-A"}], **{"Remaining-Req": remaining}))
    assert len(exchange.client.markets()) == 1


@pytest.mark.parametrize("status", [400, 404, 418, 429, 500, 302, 204, 999])
@pytest.mark.parametrize(
    "body", [b'{"error":{"message":"\\ud800\\u0000"}}', b'{"error":[[[1]]]}', b"\xff" * 9999, b"7" * 5000]
)
def test_an_error_response_is_a_typed_error_with_printable_words(tmp_path: Path, status: int, body: bytes) -> None:
    exchange = Exchange(tmp_path, NOW, lambda path, query: (status, body, headers_at(NOW, Location="http://[::1")))
    with pytest.raises(errors.ExchangeError) as refusal:
        exchange.client.markets()
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 400


def test_a_regional_exchange_sends_neither_korean_names_nor_korean_times(tmp_path: Path) -> None:
    row = minute_row("SGD-BTC", utc(3, 4))
    del row["candle_date_time_kst"]
    client = Exchange(tmp_path, NOW, answering([row])).client
    (candle,) = client.minute_page("SGD-BTC", to=TO).rows
    assert candle.to_candle().candle_date_time_kst == "2026-11-24T12:04:00"
    market = {"market": "SGD-BTC", "english_name": "Bitcoin", "market_warning": "NONE"}
    assert Exchange(tmp_path, NOW, answering([market])).client.markets()[0].quote == "SGD"
