"""The wire: fields, order, parameters, errors and headers as the real API has them."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from upbit_elt.candle import parse_wire
from upbit_elt.replica import Source, truth

from .conftest import NOON, FakeClock, Get

CANDLE = [
    "market",
    "candle_date_time_utc",
    "candle_date_time_kst",
    "opening_price",
    "high_price",
    "low_price",
    "trade_price",
    "timestamp",
    "candle_acc_trade_price",
    "candle_acc_trade_volume",
]
DAY = [*CANDLE, "prev_closing_price", "change_price", "change_rate"]
RAW = Path(__file__).parents[4] / "shared/data/upbit_raw"


def starts(rows: list[dict[str, str]]) -> list[datetime]:
    return [parse_wire(row["candle_date_time_utc"]) for row in rows]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/candles/seconds", CANDLE),
        ("/candles/minutes/1", [*CANDLE, "unit"]),
        ("/candles/minutes/240", [*CANDLE, "unit"]),
        ("/candles/days", DAY),
        ("/candles/weeks", [*CANDLE, "first_day_of_period"]),
        ("/candles/months", [*CANDLE, "first_day_of_period"]),
        ("/candles/years", [*CANDLE, "first_day_of_period"]),
    ],
)
def test_candles_have_upbits_fields_in_order_newest_first(get: Get, path: str, fields: list[str]) -> None:
    count = 2 if path.endswith("years") else 5  # each minute of a year is drawn
    rows = get(path, market="KRW-BTC", count=count).json
    assert isinstance(rows, list)
    assert len(rows) == count
    assert all(list(row) == fields for row in rows)
    assert starts(rows) == sorted(starts(rows), reverse=True)
    utc, kst = (datetime.fromisoformat(rows[0][f"candle_date_time_{zone}"]) for zone in ("utc", "kst"))
    assert kst - utc == timedelta(hours=9)


def test_minutes_are_the_truth_on_the_wire(get: Get, source: Source) -> None:
    rows = get("/candles/minutes/1", market="KRW-XRP", count=200, to="2026-11-24T12:00:00Z").json
    held = truth(source, "KRW-XRP", NOON - timedelta(hours=4), NOON.replace(second=0))[-200:]
    assert [list(row.values()) for row in rows or []] == [
        [getattr(candle, name) for name in [*CANDLE, "unit"]] for candle in reversed(held)
    ]
    assert len(held) == 200


@pytest.mark.skipif(not RAW.is_dir(), reason="no recorded answers beside the repository")
def test_rows_look_like_recorded_answers(get: Get) -> None:
    recorded = json.loads(sorted(RAW.glob("*.json"))[0].read_text())
    rows = json.loads(get("/candles/minutes/1", market="KRW-BTC", count=200).data)
    assert len(rows) == len(recorded) == 200
    assert {tuple(row) for row in rows} == {tuple(row) for row in recorded}
    kinds = {tuple(map(type, row.values())) for row in recorded}
    assert {tuple(map(type, row.values())) for row in rows} == kinds
    assert starts(recorded) == sorted(starts(recorded), reverse=True)


def test_bodies_are_compact_json_with_decimal_points(get: Get) -> None:
    text = get("/candles/minutes/1", market="KRW-BTC").text
    assert text.startswith('[{"market":"KRW-BTC","candle_date_time_utc":"2026-11-24T12:00:00",')
    assert ".0," in text
    assert "비트코인" in get("/market/all").text


@pytest.mark.parametrize(
    "to",
    ["2026-11-24T11:00:00Z", "2026-11-24 11:00:00", "2026-11-24T11:00:00", "2026-11-24T20:00:00+09:00",
     "2026-11-24T11:00:00.000Z"],
)  # fmt: skip
def test_to_is_exclusive_in_every_form(get: Get, to: str) -> None:
    rows = get("/candles/minutes/1", market="KRW-BTC", count=2, to=to).json or []
    assert [row["candle_date_time_utc"] for row in rows] == ["2026-11-24T10:59:00", "2026-11-24T10:58:00"]


def test_a_second_past_the_start_includes_the_candle(get: Get) -> None:
    rows = get("/candles/minutes/1", market="KRW-BTC", to="2026-11-24T00:00:01Z").json or []
    assert rows[0]["candle_date_time_utc"] == "2026-11-24T00:00:00"


def test_an_empty_or_future_to_means_now(get: Get) -> None:
    newest = get("/candles/minutes/1", market="KRW-BTC").text
    assert get("/candles/minutes/1", market="KRW-BTC", to="").text == newest
    assert get("/candles/minutes/1", market="KRW-BTC", to="2030-01-01T00:00:00Z").text == newest


def test_count_is_one_by_default_and_silently_cut_at_200(get: Get) -> None:
    for count, length in ((None, 1), (200, 200), (201, 200), (100_000, 200)):
        query = {} if count is None else {"count": count}
        assert len(get("/candles/minutes/1", market="KRW-BTC", **query).json or []) == length


def test_before_listing_the_answer_is_empty(get: Get) -> None:
    for kind in ("minutes/1", "days", "weeks", "seconds"):
        response = get(f"/candles/{kind}", market="KRW-BTC", to="2017-09-01T00:00:00Z")
        assert (response.status_code, response.text) == (200, "[]")


def test_unknown_parameters_are_ignored(get: Get) -> None:
    assert get("/candles/minutes/1", market="KRW-BTC", colour="red").status_code == 200


MISSING = "Missing request parameter error. Check the required parameters!"
MISMATCH = "Type mismatch error. Check the parameters type!"
INVALID = "Invalid parameter. Check the given value!"


@pytest.mark.parametrize(
    ("path", "status", "name", "message"),
    [
        ("/candles/minutes/1", 400, 400, MISSING),
        ("/candles/days?market=", 400, 400, MISSING),
        ("/ticker", 400, 400, MISSING),
        ("/ticker/all", 400, 400, MISSING),
        ("/candles/minutes/1?market=KRW-BTC&count=abc", 400, 400, MISMATCH),
        ("/market/all?is_details=perhaps", 400, 400, MISMATCH),
        ("/candles/minutes/1?market=KRW-BTC&count=0", 400, 400, INVALID),
        ("/candles/minutes/1?market=KRW-BTC&to=yesterday", 400, 400, INVALID),
        ("/candles/minutes/1?market=KRW-BTC&to=2026-13-24T00:00:00Z", 400, 400, INVALID),
        ("/candles/minutes/1?market=KRW-BTC&to=2026-11-24T20:00:00+09:00", 400, 400, INVALID),
        ("/candles/days?market=KRW-BTC&converting_price_unit=EUR", 400, 400, INVALID),
        ("/ticker/all?quote_currencies=EUR", 400, 400, INVALID),
        ("/candles/minutes/120?market=KRW-BTC", 400, 400, "specified unit is not valid."),
        ("/candles/minutes/1?market=KRW-NOPE", 404, 404, "Code not found"),
        ("/ticker?markets=KRW-BTC,KRW-NOPE", 404, 404, "Code not found"),
        ("/candles/hours?market=KRW-BTC", 404, "not_found", "no Route matched with those values"),
    ],
)
def test_errors_have_upbits_status_and_body(get: Get, path: str, status: int, name: object, message: str) -> None:
    response = get(path)
    assert response.status_code == status
    assert response.json == {"error": {"name": name, "message": message}}
    assert ("Remaining-Req" in response.headers) == (name != "not_found")


def test_a_market_is_unknown_until_its_listing(source: Source, clock: FakeClock, get: Get) -> None:
    late = max((m for m in source.markets() if m.quote == "KRW"), key=lambda market: market.listed)
    assert get("/candles/days", market=late.code).status_code == 404
    assert late.code not in get("/market/all").text
    clock.now = late.listed + timedelta(days=2)
    rows = get("/candles/days", market=late.code, count=200).json or []
    assert 1 <= len(rows) <= 3
    assert rows[-1]["prev_closing_price"] == rows[-1]["opening_price"]
    assert late.code in get("/market/all").text


def test_days_carry_the_change_since_the_day_before(get: Get) -> None:
    today, yesterday = get("/candles/days", market="KRW-ETH", count=2).json or []
    assert today["prev_closing_price"] == yesterday["trade_price"]
    assert today["change_price"] == today["trade_price"] - yesterday["trade_price"]
    assert today["change_rate"] == pytest.approx(today["change_price"] / yesterday["trade_price"])


@pytest.mark.parametrize("parameter", ["converting_price_unit", "convertingPriceUnit"])
def test_day_closes_can_be_converted_to_krw(get: Get, parameter: str) -> None:
    rows = get("/candles/days", market="BTC-ETH", count=3, **{parameter: "KRW"}).json or []
    bitcoin = {row["candle_date_time_utc"]: row for row in get("/candles/days", market="KRW-BTC", count=30).json or []}
    assert [list(row) for row in rows] == [[*DAY, "converted_trade_price"]] * 3
    for row in rows:
        rate = bitcoin[row["candle_date_time_utc"]]["trade_price"]
        assert row["converted_trade_price"] == pytest.approx(row["trade_price"] * rate)
    krw = get("/candles/days", market="KRW-BTC", **{parameter: "KRW"}).json or []
    assert krw[0]["converted_trade_price"] is None


def test_market_all_lists_markets_and_with_details_their_warnings(get: Get) -> None:
    plain, detailed = get("/market/all").json or [], get("/market/all", is_details="true").json or []
    assert {row["market"]: row for row in plain}["KRW-BTC"] == {
        "market": "KRW-BTC",
        "korean_name": "비트코인",
        "english_name": "Bitcoin",
    }
    assert len(plain) == 64 + 63 + 63
    codes = [row["market"] for row in plain]
    assert codes != sorted(codes)
    assert set(detailed[0]["market_event"]) == {"warning", "caution"}
    assert list(detailed[0]["market_event"]["caution"]) == [
        "PRICE_FLUCTUATIONS",
        "TRADING_VOLUME_SOARING",
        "DEPOSIT_AMOUNT_SOARING",
        "GLOBAL_PRICE_DIFFERENCES",
        "CONCENTRATION_OF_SMALL_ACCOUNTS",
    ]
    assert get("/market/all", isDetails="true").json == detailed


def test_tickers_agree_with_the_candles(get: Get) -> None:
    row = (get("/ticker", markets="KRW-ADA").json or [])[0]
    minute = (get("/candles/minutes/1", market="KRW-ADA").json or [])[0]
    day, before = get("/candles/days", market="KRW-ADA", count=2).json or []
    assert row["trade_price"] == minute["trade_price"]
    assert row["trade_timestamp"] == minute["timestamp"]
    for name in ("opening_price", "high_price", "low_price", "prev_closing_price"):
        assert row[name] == day[name]
    assert row["acc_trade_volume"] == pytest.approx(day["candle_acc_trade_volume"])
    assert day["candle_acc_trade_volume"] < row["acc_trade_volume_24h"]
    assert row["acc_trade_volume_24h"] < day["candle_acc_trade_volume"] + before["candle_acc_trade_volume"]
    assert row["change"] == ("RISE" if row["signed_change_price"] > 0 else "FALL")
    assert row["highest_52_week_price"] >= day["high_price"] > day["low_price"] >= row["lowest_52_week_price"]
    last = datetime.fromtimestamp(row["trade_timestamp"] // 1000, UTC)
    assert (row["trade_date"], row["trade_time"]) == (f"{last:%Y%m%d}", f"{last:%H%M%S}")
    assert row["trade_time_kst"] == f"{last + timedelta(hours=9):%H%M%S}"


def test_markets_may_be_repeated_or_joined(get: Get) -> None:
    """pyupbit repeats the parameter, everyone else joins with commas."""
    repeated = get("/ticker?markets=KRW-BTC&markets=KRW-ETH").json or []
    assert [row["market"] for row in repeated] == ["KRW-BTC", "KRW-ETH"]
    assert get("/ticker", markets="KRW-BTC,KRW-ETH").json == repeated


def test_ticker_all_shows_which_markets_traded(get: Get, source: Source) -> None:
    rows = get("/ticker/all", quote_currencies="KRW").json or []
    assert len(rows) == 64
    for row in rows:
        traded = datetime.fromtimestamp(row["trade_timestamp"] / 1000, UTC)
        assert traded <= NOON
        since = truth(source, row["market"], traded + timedelta(minutes=1, seconds=1), NOON.replace(second=0))
        assert since == []
    assert len(get("/ticker/all", quote_currencies="BTC,USDT").json or []) == 126


def test_answers_carry_upbits_headers(get: Get) -> None:
    headers = get("/candles/minutes/1", market="KRW-BTC").headers
    assert headers["Content-Type"] == "application/json;charset=UTF-8"
    assert headers["Remaining-Req"] == "group=candles; min=600; sec=9"
    assert headers["Limit-By-Ip"] == "Yes"
    assert headers["Vary"].startswith("origin,")
    assert headers["ETag"].startswith('W/"0')
    assert headers["Cache-Control"] == "no-cache, no-store, max-age=0, must-revalidate"
    assert (headers["Pragma"], headers["Expires"]) == ("no-cache", "0")


def test_the_date_is_the_exchanges_own(clock: FakeClock, get: Get) -> None:
    clock.now = datetime(2026, 3, 1, 0, 0, 5, 999_000, tzinfo=UTC)
    assert get("/market/all").headers["Date"] == "Sun, 01 Mar 2026 00:00:05 GMT"


def test_bodies_are_compressed_only_where_requested(get: Get) -> None:
    query = {"market": "KRW-BTC", "count": 200, "to": "2026-11-24T00:00:00Z"}
    plain = get("/candles/minutes/1", **query)
    packed = get("/candles/minutes/1", {"Accept-Encoding": "gzip, deflate"}, **query)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data) / 3
