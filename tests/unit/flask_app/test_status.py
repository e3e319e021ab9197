"""Health, status and markets."""

from __future__ import annotations

from datetime import timedelta

from tests.unit.flask_app.world import NOON, World, candle, minutes, trades
from upbit_elt.candle import MINUTE, kst_day


def thin_today() -> int:
    """Candles of the thin market since midnight in Korea."""
    return sum(trades("KRW-THIN", moment) for moment in minutes(NOON - timedelta(hours=12), NOON))


def test_the_process_is_alive_whatever_hive_does(empty_world: World) -> None:
    empty_world.hive.up = empty_world.lake.up = False
    assert empty_world.client.get("/healthz").status_code == 200


def test_ready_when_hdfs_and_hive_answer_even_before_any_candle(empty_world: World) -> None:
    response = empty_world.client.get("/readyz")
    assert (response.status_code, response.get_json()) == (200, {"status": "ready"})


def test_status_of_an_empty_lake_is_nulls_and_zeros(empty_world: World) -> None:
    status = empty_world.client.get("/api/v1/status").get_json()
    assert status["exchange"] == "replica"
    assert (status["covered_until"], status["forecast_origin"], status["model"]) == (None, None, None)
    assert (status["lag_seconds"], status["markets"], status["candles_today"]) == (None, 0, 0)


def test_status_says_how_far_the_pipeline_is(world: World) -> None:
    status = world.client.get("/api/v1/status").get_json()
    assert status["base_url"] == "http://127.0.0.1:8765"
    assert status["covered_until"] == "2026-11-24T03:00:00Z"
    assert status["lag_seconds"] == 20
    assert status["markets"] == 3
    assert status["candles_today"] == 2 * 720 + thin_today()


def test_empty_minutes_count_as_covered(world: World) -> None:
    end = NOON + 4 * MINUTE
    world.publish_file(kst_day(NOON), NOON, end, [])
    world.later(240)
    assert world.client.get("/api/v1/status").get_json()["covered_until"] == "2026-11-24T03:04:00Z"


def test_today_begins_at_midnight_in_korea(world: World) -> None:
    world.later(12 * 3600)
    assert world.client.get("/api/v1/status").get_json()["candles_today"] == 0


def test_markets_carry_their_last_price_and_their_day(world: World) -> None:
    rows = {row["market"]: row for row in world.client.get("/api/v1/markets").get_json()}
    assert list(rows) == ["KRW-BTC", "KRW-ETH", "KRW-THIN"]
    last = candle("KRW-BTC", NOON - MINUTE)
    assert rows["KRW-BTC"]["trade_price"] == last.trade_price
    assert rows["KRW-BTC"]["candle_date_time_utc"] == "2026-11-24T02:59:00"
    assert rows["KRW-BTC"]["candles_today"] == 720
    assert rows["KRW-THIN"]["candles_today"] == thin_today()


def test_a_market_without_a_trade_in_the_window_is_listed_with_nulls(world: World) -> None:
    markets = ("KRW-BTC", "KRW-ETH", "KRW-THIN", "KRW-SILENT")
    end = NOON + 2 * MINUTE
    world.publish_file(kst_day(NOON), NOON, end, [candle("KRW-BTC", NOON)], markets=markets)
    row = {row["market"]: row for row in world.client.get("/api/v1/markets").get_json()}["KRW-SILENT"]
    assert (row["trade_price"], row["candle_date_time_utc"], row["candles_today"]) == (None, None, 0)


def test_a_misspelled_parameter_is_refused_where_there_are_none(world: World) -> None:
    assert world.client.get("/api/v1/markets?quote=KRW").status_code == 400


def test_a_day_that_is_not_registered_in_hive_yet_is_not_covered_yet(world: World) -> None:
    midnight = NOON + timedelta(hours=12)
    world.publish(NOON, midnight)
    day = kst_day(midnight)
    assert world.client.get("/api/v1/status").get_json()["covered_until"] == "2026-11-24T15:00:00Z"
    world.publish_file(day, midnight, midnight + MINUTE, [candle("KRW-BTC", midnight)], in_hive=False)
    world.later(6)
    assert world.client.get("/api/v1/status").get_json()["covered_until"] == "2026-11-24T15:00:00Z"
    world.publish_file(day, midnight, midnight + MINUTE, [candle("KRW-BTC", midnight)])
    world.later(6)
    assert world.client.get("/api/v1/status").get_json()["covered_until"] == "2026-11-24T15:01:00Z"
