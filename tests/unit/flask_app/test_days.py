"""The calendar of the days: what is open, closed and proven, with counts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.unit.flask_app.world import MARKETS, NOON, World, candle, minutes, trades
from upbit_elt.candle import day_end, day_start, kst_day, to_table
from upbit_elt.holes import HoleReason
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.parquet import encode
from upbit_elt.quality import results
from upbit_elt.quality.results import MarketResult

YESTERDAY = kst_day(NOON - timedelta(days=1))


def close(world: World, *holes: Span) -> int:
    """Yesterday as one complete snapshot; returns its candles."""
    start, end = day_start(YESTERDAY), day_end(YESTERDAY)
    rows = [candle(m, t) for m in MARKETS for t in minutes(start, end) if trades(m, t)]
    coverage = Coverage(start, end, "test", holes, dict.fromkeys(MARKETS, end))
    world.lake.publish(f"{world.lake.root}/candle/{YESTERDAY}/day-1/candle.parquet", encode(to_table(rows), coverage))
    return len(rows)


def reconcile(world: World, verdict: str, *rows: MarketResult, number: int = 1) -> None:
    folder = f"{world.lake.root}/reconciliation/{YESTERDAY}/day-{number}"
    world.lake.publish(f"{folder}/day-1_{verdict}.parquet", encode(results.to_table(list(rows))))


def market_result(market: str, **changes: Any) -> MarketResult:
    values: dict[str, Any] = {
        "market": market,
        "snapshot": "day-1",
        "hours": 24,
        "candles": 1440,
        "differences": 0,
        "repaired": 0,
        "discrepancies": 0,
        "state": "proven",
        "checked": "2026-11-24T00:10:00",
        "digest": "d",
    }
    return MarketResult(**{**values, **changes})


def days(world: World, **query: int) -> dict[str, dict[str, Any]]:
    response = world.client.get("/api/v1/days", query_string=query)
    assert response.status_code == 200, response.text
    return {row["day"]: row for row in response.get_json()}


def test_an_empty_lake_has_no_days(empty_world: World) -> None:
    assert days(empty_world) == {}


def test_open_days_are_counted(world: World) -> None:
    found = days(world)
    assert list(found) == ["2026-11-22", "2026-11-23", "2026-11-24"]
    assert {row["state"] for row in found.values()} == {"open"}
    today = list(minutes(day_start(kst_day(NOON)), NOON))
    assert found["2026-11-24"]["candles"] == sum(trades(m, t) for m in MARKETS for t in today)
    assert found["2026-11-24"]["findings"] is None
    assert list(days(world, count=1)) == ["2026-11-24"]


def test_a_closed_day_has_its_holes_and_a_proven_one_what_was_compared(world: World) -> None:
    rows = close(
        world, Span("KRW-BTC", day_start(YESTERDAY), day_end(YESTERDAY), "hole", HoleReason.SERVER_TROUBLE, "500")
    )
    closed = days(world)["2026-11-23"]
    assert (closed["state"], closed["candles"], closed["holes"], closed["checked"]) == ("closed", rows, 1, None)

    reconcile(world, "proven", market_result("KRW-BTC", differences=2, repaired=2), market_result("KRW-ETH"))
    world.later(30)
    proven = days(world)["2026-11-23"]
    assert proven["state"] == "proven"
    assert (proven["markets"], proven["candles"], proven["repaired"], proven["findings"]) == (2, 2880, 2, 0)
    assert proven["checked"] == "2026-11-24T00:10:00Z"


def test_a_day_with_discrepancies_is_not_proven_and_has_their_numbers(world: World) -> None:
    close(world)
    detail = '[{"hour": "2026-11-23T03:00:00", "field": "high_price", "ours": 1.0, "exchange": 2.0}]'
    bad = market_result("KRW-ETH", state="finding", differences=1, discrepancies=1, detail=detail)
    reconcile(world, "findings", market_result("KRW-BTC"), bad)
    row = days(world)["2026-11-23"]
    assert (row["state"], row["findings"]) == ("closed", 1)
    shown = world.client.get("/api/v1/days/2026-11-23").get_json()
    assert shown["state"] == "closed"
    assert [row["market"] for row in shown["markets"]] == ["KRW-ETH", "KRW-BTC"]
    assert shown["markets"][0]["details"][0]["exchange"] == 2.0


def test_a_proof_of_an_older_snapshot_counts_no_more(world: World) -> None:
    close(world)
    reconcile(world, "proven", market_result("KRW-BTC"))
    assert days(world)["2026-11-23"]["state"] == "proven"
    world.lake.files[f"{world.lake.root}/candle/{YESTERDAY}/day-2/candle.parquet"] = world.lake.files[
        f"{world.lake.root}/candle/{YESTERDAY}/day-1/candle.parquet"
    ]
    world.later(30)
    assert days(world)["2026-11-23"]["state"] == "closed"
    assert world.client.get("/api/v1/days/2026-11-23").get_json()["markets"] == []


def test_a_wrong_day_gets_an_error_message(world: World) -> None:
    response = world.client.get("/api/v1/days/261123")
    assert response.status_code == 400
    assert "2026-11-24" in response.get_json()["detail"]
    assert world.client.get("/api/v1/days?count=0").status_code == 400


def test_a_day_of_another_century_is_not_taken_for_this_ones(world: World) -> None:
    assert world.client.get("/api/v1/days/1926-11-24").status_code == 400


def test_short_and_long_looks_in_turn_read_each_file_once(world: World) -> None:
    assert len(days(world, count=366)) == 3
    read = world.lake.reads
    for _ in range(3):
        assert len(days(world, count=1)) == 1
        assert len(days(world, count=366)) == 3
        world.later(60)
    assert world.lake.reads == read
