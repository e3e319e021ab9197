"""What the service says and does when candles did not come: the minute that is known, who is stale and why."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.unit.flask_app.test_forecasts import make, read
from tests.unit.flask_app.test_problems import problem
from tests.unit.flask_app.world import MARKETS, NOON, World, candle
from upbit_elt.candle import MINUTE, to_table, wire
from upbit_elt.holes import HoleReason
from upbit_elt.lake import layout
from upbit_elt.lake.coverage import Coverage, Recheck, Span
from upbit_elt.lake.dag_errors import DagError, report
from upbit_elt.lake.parquet import encode

DETAIL = "no answer in time"


def failed_run(world: World, minute: int, failed: tuple[str, ...] = MARKETS) -> None:
    """What a live run up to `minute` past noon publishes when the requests of `failed` since noon brought nothing."""
    end = NOON + minute * MINUTE
    spans = [
        Span(market, NOON, end, "hole", HoleReason.UNREACHABLE, DETAIL)
        if market in failed
        else Span(market, NOON, end, "asked")
        for market in MARKETS
    ]
    watermark = {market: NOON if market in failed else end for market in MARKETS}
    rows = [candle(market, NOON) for market in MARKETS if market not in failed]
    folder = layout.live_folder(world.lake.root, "candle", "261124", 1)
    coverage = Coverage(NOON, end, "run", tuple(spans), watermark)
    world.lake.publish(f"{folder}/{layout.window_name(NOON, end)}", encode(to_table(rows), coverage))
    world.later((end - world.clock.now()).total_seconds() + 20)


def status(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.client.get("/api/v1/status").get_json()
    return found


def test_a_run_that_brought_nothing_does_not_move_the_minute_on(world: World) -> None:
    failed_run(world, 10)
    found = status(world)
    assert found["covered_until"] == "2026-11-24T03:00:00Z"
    assert found["looked_until"] == "2026-11-24T03:10:00Z"
    assert (found["lag_seconds"], found["lag_typical_seconds"], found["lag_worst_seconds"]) == (620, 620, 620)
    assert (found["stale_markets"], found["listed_markets"]) == (3, 3)
    assert (found["stale_since"], found["stale_reasons"]) == ("2026-11-24T03:00:00Z", {"unreachable": 3})
    assert found["stale"] == (
        "all 3 markets are stale, known only until 2026-11-24T03:00Z, 10 min ago (unreachable 3: no answer in time)"
    )


def test_one_stale_market_is_flagged_and_holds_no_other_back(world: World) -> None:
    failed_run(world, 10, ("KRW-ETH",))
    found = status(world)
    assert (found["stale_markets"], found["lag_typical_seconds"], found["lag_worst_seconds"]) == (1, 20, 620)
    rows = {row["market"]: row for row in world.client.get("/api/v1/markets").get_json()}
    assert {name: row["stale"] for name, row in rows.items()} == {
        "KRW-BTC": False,
        "KRW-ETH": True,
        "KRW-THIN": False,
    }
    bad = rows["KRW-ETH"]
    assert (bad["covered_until"], bad["stale_reason"], bad["stale_detail"]) == (
        "2026-11-24T03:00:00Z",
        "unreachable",
        DETAIL,
    )
    assert (rows["KRW-BTC"]["covered_until"], rows["KRW-BTC"]["stale_reason"]) == ("2026-11-24T03:10:00Z", None)


def test_without_a_new_run_all_grows_stale_and_ready_says_so(world: World) -> None:
    assert world.client.get("/readyz").status_code == 200
    world.later(400)
    body = problem(world.client.get("/readyz"))
    assert (body["status"], body["type"]) == (503, "/problems/stale")
    assert body["detail"] == "all 3 markets are stale, known only until 2026-11-24T03:00Z, 7 min ago (not_asked 3)"


def test_stale_candles_are_not_the_services_own_fault(world: World) -> None:
    failed_run(world, 10)
    assert world.client.get("/readyz").status_code == 503
    assert world.client.get("/readyz/data").status_code == 503
    assert world.client.get("/readyz/services").status_code == 200
    assert world.client.get("/healthz").status_code == 200


def test_the_service_is_ready_again_when_the_minutes_have_come(world: World) -> None:
    failed_run(world, 10)
    world.publish(NOON, NOON + 12 * MINUTE)
    world.later(120)
    assert world.client.get("/readyz").status_code == 200
    assert status(world)["stale"] is None


def test_no_forecast_is_made_from_an_old_price(forecasting: World) -> None:
    failed_run(forecasting, 10, ("KRW-ETH",))
    body = make(forecasting).get_json()
    assert body["origin"] == "2026-11-24T03:10:00Z"
    assert body["left_out"] == {
        "count": 1,
        "markets": [
            {
                "market": "KRW-ETH",
                "covered_until": "2026-11-24T03:00:00Z",
                "reason": "unreachable",
                "detail": DETAIL,
            }
        ],
    }
    assert read(forecasting).get_json()["stale"] is False
    none = problem(read(forecasting, market="KRW-ETH"))
    assert none["status"] == 404
    assert "no forecast is made from an old price; it is known only until 2026-11-24T03:00Z" in none["detail"]


def test_no_forecast_is_made_over_a_recent_hole(forecasting: World) -> None:
    end, lost = NOON + 10 * MINUTE, NOON - 5 * MINUTE
    holes = (
        Recheck("KRW-ETH", lost, lost + MINUTE, "hole", NOON),
        Recheck("KRW-BTC", NOON - 50 * MINUTE, NOON - 40 * MINUTE, "left", NOON),
    )
    coverage = Coverage(NOON, end, "run", (), dict.fromkeys(MARKETS, end), holes)
    folder = layout.live_folder(forecasting.lake.root, "candle", "261124", 1)
    rows = [candle(market, NOON) for market in MARKETS]
    forecasting.lake.publish(f"{folder}/{layout.window_name(NOON, end)}", encode(to_table(rows), coverage))
    forecasting.later(620)
    named = {
        "market": "KRW-ETH",
        "covered_until": "2026-11-24T02:55:00Z",
        "reason": "late_row",
        "detail": "a row is in quarantine or late, and is fetched again",
    }
    assert make(forecasting).get_json()["left_out"] == {"count": 1, "markets": [named]}
    assert read(forecasting).status_code == 200
    words = problem(read(forecasting, market="KRW-ETH"))["detail"]
    assert "over a hole of the last half hour; it is known only until 2026-11-24T02:55Z (late_row: a row" in words


def test_no_forecast_at_all_when_no_market_is_known(forecasting: World) -> None:
    failed_run(forecasting, 10)
    body = problem(make(forecasting))
    assert (body["status"], body["type"]) == (503, "/problems/stale")
    assert body["detail"] == (
        "no market is known until 2026-11-24T03:10Z: KRW-BTC until 2026-11-24T03:00Z (unreachable: no answer in time)"
    )
    assert forecasting.client.get("/api/v1/status").get_json()["forecast_origin"] is None


def test_a_forecast_grows_old_and_says_so(forecasting: World) -> None:
    make(forecasting)
    assert (read(forecasting).get_json()["stale"], read(forecasting).get_json()["age_seconds"]) == (False, 20)
    assert status(forecasting)["forecast_stale"] is False
    forecasting.later(400)
    assert (read(forecasting).get_json()["stale"], read(forecasting).get_json()["age_seconds"]) == (True, 420)
    assert status(forecasting)["forecast_stale"] is True


def test_the_last_error_of_a_dag_is_shown_until_its_next_run_but_one(world: World) -> None:
    assert status(world)["errors"] == []
    now = world.clock.now()
    for words in ("Unreachable: first", "Unreachable: second"):
        report(world.lake, DagError("min_candle", "collect", "run", now, now + timedelta(minutes=5), words))
        world.later(20)
    assert status(world)["errors"] == [
        {
            "dag": "min_candle",
            "task": "collect",
            "run": "run",
            "at": f"{wire(now)}Z",
            "error": "Unreachable: second",
        }
    ]
    world.later(300)
    assert status(world)["errors"] == []
