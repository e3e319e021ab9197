"""`/api/v1/skill`: scores pooled over markets and days by what was scored, each file read once; and its metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flask_app.services import Services
from tests.unit.flask_app.test_problems import problem
from tests.unit.flask_app.world import World
from upbit_elt.forecast.score_day import LOSSES, SCORE_SCHEMA
from upbit_elt.lake import layout
from upbit_elt.lake.parquet import encode

DAYS = ("261122", "261123", "261124")
URL = "/api/v1/skill"


def score(market: str, expert: str, count: int, crps: float, **more: Any) -> dict[str, Any]:
    """A row of a day's scores at 5 minutes."""
    losses = dict.fromkeys(LOSSES, crps if count else None) | ({"coverage_90": 0.9} if count else {})
    numbers = {"count": count, "late": 1, "missed": 2, "holes": 3}
    return {"market": market, "horizon": 5, "quantity": "price", "expert": expert} | numbers | losses | more


ROWS = [
    score("KRW-BTC", "served", 100, 8.0),
    score("KRW-BTC", "naive", 100, 10.0),
    score("KRW-BTC", "unconditional", 100, 9.0),
    score("KRW-ETH", "served", 300, 4.0, coverage_90=0.8),
    score("KRW-ETH", "naive", 300, 4.0),
    score("KRW-NEW", "served", 0, 0.0),
]


def put(world: World, day: str, rows: list[dict[str, Any]], snapshot: int = 1) -> str:
    path = f"{layout.complete_folder(world.lake.root, 'score', day, snapshot)}/0_open.parquet"
    world.lake.publish(path, encode(pa.Table.from_pylist(rows, schema=SCORE_SCHEMA)))
    return path


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(state_dir=tmp_path, webhdfs_url="http://127.0.0.1:9")


def get(world: World, **query: str) -> dict[str, Any]:
    response = world.client.get(URL, query_string=query)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.get_json()
    return body


def test_skill_is_pooled_by_what_was_scored_and_compared_on_the_same_forecasts(world: World) -> None:
    put(world, DAYS[2], [*ROWS, score("KRW-BTC", "served", 100, 50.0, quantity="volume")])
    put(world, DAYS[1], [score("KRW-BTC", "served", 400, 2.0), score("KRW-BTC", "naive", 400, 4.0)])
    body = get(world)
    assert (body["quantity"], body["expert"], body["unreadable"]) == ("price", "served", [])
    yesterday, today = body["days"]
    assert (yesterday["day"], today["day"]) == ("2026-11-23", "2026-11-24")
    (row,) = today["horizons"]
    assert {name: row[name] for name in ("horizon", "markets", "count", "late", "missed", "holes")} == {
        "horizon": 5, "markets": 3, "count": 400, "late": 3, "missed": 6, "holes": 9,
    }  # fmt: skip
    assert (row["crps"], row["coverage_90"]) == (5.0, 0.825)
    assert row["baselines"] == {
        "naive": {"count": 400, "crps": 5.5, "skill": pytest.approx(1 - 5 / 5.5, abs=1e-6)},
        "unconditional": {"count": 100, "crps": 9.0, "skill": pytest.approx(1 - 8 / 9, abs=1e-6)},
    }
    (pooled,) = body["pooled"]
    assert (pooled["count"], pooled["markets"], pooled["crps"]) == (800, 3, 3.5)
    assert pooled["baselines"]["naive"]["skill"] == pytest.approx(1 - 3.5 / 4.75, abs=1e-6)
    assert [day["day"] for day in get(world, days="1")["days"]] == ["2026-11-24"]


def test_without_scores_there_are_none_and_nothing_scored_is_null(world: World) -> None:
    assert (get(world)["pooled"], get(world)["days"]) == ([], [])
    world.later(61)
    put(world, DAYS[2], [score("KRW-NEW", "served", 0, 0.0)])
    (row,) = get(world)["pooled"]
    assert (row["count"], row["crps"], row["coverage_90"], row["baselines"]) == (0, None, None, {})


def test_a_file_is_read_once_and_its_successor_within_a_minute(world: World) -> None:
    put(world, DAYS[2], ROWS)
    get(world)
    read = world.lake.reads
    world.later(61)
    get(world, days="31")
    assert world.lake.reads == read
    put(world, DAYS[2], ROWS[:1], snapshot=2)
    assert get(world)["pooled"][0]["markets"] == 3
    world.later(61)
    assert get(world)["pooled"][0]["markets"] == 1


def test_a_damaged_file_is_named_and_costs_its_own_day_alone(world: World) -> None:
    put(world, DAYS[1], ROWS)
    world.lake.files[put(world, DAYS[2], ROWS)] = b"damaged"
    body = get(world)
    assert (body["unreadable"], [day["day"] for day in body["days"]]) == (["2026-11-24"], ["2026-11-23"])


@pytest.mark.parametrize("days", ["0", "32", "all"])
def test_more_days_than_a_request_may_have_are_400(world: World, days: str) -> None:
    assert problem(world.client.get(URL, query_string={"days": days}))["status"] == 400


def test_the_coverage_of_three_days_is_a_metric_and_a_scrape_costs_no_request(world: World) -> None:
    def share() -> list[str]:
        lines = world.client.get("/metrics").get_data(as_text=True).splitlines()
        return [line for line in lines if line.startswith("upbit_forecast_coverage_90 ")]

    shared: Services = world.app.extensions["upbit_elt"]
    for day in DAYS[:2]:
        put(world, day, ROWS)
    shared.watch.look()
    assert share() == [], "two days are too few"
    put(world, DAYS[2], ROWS)
    world.later(3601)
    shared.watch.look()
    world.lake.up = False
    assert share() == ["upbit_forecast_coverage_90 0.825"]
