"""Forecasts: made once an origin, stored, read back from Hive, guarded by the token."""

from __future__ import annotations

import json
import math
from threading import Thread
from typing import Any

import pytest
from pydantic import SecretStr
from werkzeug.test import TestResponse

from flask_app import create_app
from flask_app.forecasts import Forecasts
from tests.support.edges import MemoryEdge
from tests.support.simulation import forecast_of
from tests.unit.flask_app.fakes import StillClock
from tests.unit.flask_app.test_problems import problem
from tests.unit.flask_app.world import NOON, TOKEN, World
from upbit_elt.candle import MINUTE
from upbit_elt.forecast.artifacts import save_model
from upbit_elt.forecast.schema import FORECAST_SCHEMA, HORIZONS, QUANTILE_COLUMNS
from upbit_elt.forecast.train import TrainedModel
from upbit_elt.lake import layout
from upbit_elt.lake.parquet import encode

TYPES = {"string": "STRING", "double": "DOUBLE", "int32": "INT"}
DDL_BEFORE = [f"{field.name} {TYPES[str(field.type)]}" for field in FORECAST_SCHEMA if field.name != "issued_utc"]


def make(world: World, token: str = TOKEN) -> TestResponse:
    return world.client.post("/api/v1/forecasts", headers={"Authorization": f"Bearer {token}"})


def read(world: World, **query: str) -> TestResponse:
    return world.client.get("/api/v1/forecasts", query_string={"market": "KRW-BTC", **query})


def test_a_forecast_of_the_newest_covered_minute_is_stored(forecasting: World, trained: TrainedModel) -> None:
    response = make(forecasting)
    assert response.status_code == 200, response.text
    body = response.get_json()
    assert (body["origin"], body["issued_utc"]) == ("2026-11-24T03:00:00Z", "2026-11-24T03:00:20Z")
    assert body["rows"] == 3 * len(HORIZONS)
    assert body["model_version"] == trained.card["version"]
    assert (body["file"], body["stored"]) == ("202611240300.parquet", True)
    counted = forecasting.hive.query("SELECT count(*) FROM upbit_lake_replica.forecast ")
    assert counted == [(body["rows"],)]


def test_the_origin_is_the_end_of_what_is_covered_also_when_nobody_traded(forecasting: World) -> None:
    forecasting.publish_file("261124", NOON, NOON + 6 * MINUTE, [])
    assert make(forecasting).get_json()["origin"] == "2026-11-24T03:06:00Z"


def test_the_first_write_of_an_origin_wins(forecasting: World, trained: TrainedModel) -> None:
    first = make(forecasting).get_json()
    newer = TrainedModel(trained.net, trained.card | {"version": "20261124T0400Z"}, trained.train, trained.test)
    save_model(forecasting.lake, newer)
    again = make(forecasting)
    assert again.status_code == 200
    assert again.get_json() == {**first, "file": None, "stored": False}


def test_a_new_champion_is_taken_up_without_a_restart(forecasting: World, trained: TrainedModel) -> None:
    make(forecasting)
    newer = TrainedModel(trained.net, trained.card | {"version": "20261124T0400Z"}, trained.train, trained.test)
    save_model(forecasting.lake, newer)
    forecasting.publish(NOON, NOON + 2 * MINUTE)
    assert make(forecasting).get_json()["model_version"] == "20261124T0400Z"
    assert forecasting.client.get("/api/v1/status").get_json()["model"]["version"] == "20261124T0400Z"


def test_the_newest_forecast_is_served_by_horizon(forecasting: World) -> None:
    made = make(forecasting).get_json()
    body = read(forecasting).get_json()
    assert (body["market"], body["origin"], body["model_version"]) == ("KRW-BTC", made["origin"], made["model_version"])
    assert [row["horizon"] for row in body["rows"]] == list(HORIZONS)
    assert body["rows"][-1]["target"] == "2026-11-24T04:00:00Z"
    for row in body["rows"]:
        prices = [row[name] for name in QUANTILE_COLUMNS]
        assert prices == sorted(prices)


def test_a_restarted_service_serves_what_hive_holds(forecasting: World) -> None:
    make(forecasting)
    before = read(forecasting).get_json()
    forecasting.publish(NOON, NOON + 2 * MINUTE)
    make(forecasting)
    app = create_app(forecasting.settings, hive=forecasting.hive, lake=forecasting.lake, clock=forecasting.clock)
    client = app.test_client()
    newest = client.get("/api/v1/forecasts?market=KRW-BTC").get_json()
    assert newest == read(forecasting).get_json()
    assert newest["origin"] == "2026-11-24T03:02:00Z"
    assert client.get("/api/v1/forecasts?market=KRW-BTC&origin=2026-11-24T12:00:00%2B09:00").get_json() == before


def test_when_a_forecast_was_issued_is_stored_with_it(forecasting: World) -> None:
    make(forecasting)
    assert read(forecasting).get_json()["issued_utc"] == "2026-11-24T03:00:20Z"
    forecasting.later(100)
    make(forecasting)
    assert read(forecasting, origin="2026-11-24T03:00:00Z").get_json()["issued_utc"] == "2026-11-24T03:00:20Z"


def test_forecasts_and_tables_of_the_release_before_are_read_and_moved_on() -> None:
    edge, now = MemoryEdge(), StillClock(NOON)
    lake, hive = edge.open(edge.settings, now)
    folder = layout.live_folder(lake.root, "forecast", "261124", 1)
    old = forecast_of(NOON, ["KRW-BTC"]).drop_columns(["issued_utc"])
    lake.publish(f"{folder}/{layout.stamp(NOON)}.parquet", encode(old))
    database, columns = edge.settings.database, ",\n".join(f"    {line}" for line in DDL_BEFORE)
    table = "CREATE EXTERNAL TABLE IF NOT EXISTS {0} (\n{1}\n)\n{2}STORED AS PARQUET LOCATION '{3}'"
    hive.execute(
        f"CREATE DATABASE IF NOT EXISTS {database}",
        table.format(f"{database}.forecast", columns, "PARTITIONED BY (dt STRING)\n", folder),
        f"ALTER TABLE {database}.forecast ADD IF NOT EXISTS PARTITION (dt='2026-11-24') LOCATION '{folder}'",
    )
    newest = Forecasts(edge.settings, hive, now).latest()
    assert newest is not None
    assert (newest.origin, newest.issued, newest.count) == (NOON, None, len(HORIZONS))


def test_an_origin_or_market_without_a_forecast_is_404(forecasting: World) -> None:
    assert problem(read(forecasting))["type"] == "/problems/no_forecast"
    make(forecasting)
    body = problem(read(forecasting, origin="2026-11-24T02:58:00Z"))
    assert (body["status"], body["type"]) == (404, "/problems/no_forecast")
    assert "2026-11-24T02:58:00Z" in body["detail"]


def test_without_a_model_it_is_409(world: World) -> None:
    body = problem(make(world))
    assert (body["status"], body["type"]) == (409, "/problems/no_model")
    assert "train_forecast" in body["detail"]


def test_a_model_that_cannot_be_read_is_said_and_stops_nothing_else(forecasting: World, trained: TrainedModel) -> None:
    made = make(forecasting).get_json()
    path = f"{forecasting.lake.root}/model/{trained.card['version']}/weights.pt"
    weights = forecasting.lake.files.pop(path)
    app = create_app(forecasting.settings, hive=forecasting.hive, lake=forecasting.lake, clock=forecasting.clock)
    client = app.test_client()
    quarantined = client.post("/api/v1/forecasts", headers={"Authorization": f"Bearer {TOKEN}"})
    body = problem(quarantined)
    assert (body["status"], body["type"]) == (503, "/problems/unusable_model")
    assert path in body["detail"]
    assert "the next run of train_forecast replaces it" in body["detail"]
    status = client.get("/api/v1/status").get_json()
    assert (status["model"], status["model_trouble"]) == (None, body["detail"])
    assert client.get("/api/v1/forecasts?market=KRW-BTC").get_json()["origin"] == made["origin"]
    forecasting.lake.files[path] = weights
    assert client.get("/api/v1/status").get_json()["model_trouble"] is None


def test_without_candles_it_is_409(empty_world: World, trained: TrainedModel) -> None:
    save_model(empty_world.lake, trained)
    body = problem(make(empty_world))
    assert (body["status"], body["type"]) == (409, "/problems/not_enough_history")
    assert "min_candle" in body["detail"]


@pytest.mark.parametrize("edge", ["hive", "lake"])
def test_an_edge_that_does_not_answer_is_503_and_stores_nothing(forecasting: World, edge: str) -> None:
    getattr(forecasting, edge).up = False
    assert problem(make(forecasting))["status"] == 503
    getattr(forecasting, edge).up = True
    assert make(forecasting).get_json()["stored"] is True


@pytest.mark.parametrize(
    "header", [None, "Bearer wrong", f"Basic {TOKEN}", f"Token {TOKEN}", TOKEN, "Bearer ", "Bearer tök"]
)
def test_writing_needs_the_token(forecasting: World, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    response = forecasting.client.post("/api/v1/forecasts", headers=headers)
    assert problem(response)["type"] == "/problems/token_needed"
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert forecasting.hive.query("SHOW TABLES IN upbit_lake_replica LIKE 'forecast'") == []


def test_without_a_token_of_its_own_the_service_refuses_every_write() -> None:
    world = World(flask_token=SecretStr(""))
    body = problem(make(world, ""))
    assert (body["status"], body["type"]) == (403, "/problems/writes_off")


def test_calls_at_the_same_time_store_one_forecast(forecasting: World) -> None:
    answers: list[dict[str, Any]] = []

    def call() -> None:
        client = forecasting.app.test_client()
        answers.append(client.post("/api/v1/forecasts", headers={"Authorization": f"Bearer {TOKEN}"}).get_json())

    threads = [Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(response["stored"] for response in answers) == [False, False, False, True]
    assert {response["origin"] for response in answers} == {"2026-11-24T03:00:00Z"}


def test_numbers_that_json_does_not_have_become_null(forecasting: World) -> None:
    """The only source of such numbers is a driver that hands out a stored NaN (SQLite would hand out NULL)."""
    make(forecasting)
    forecasting.hive.hand_out = _holed
    response = read(forecasting, origin="2026-11-24T03:00:00Z")
    assert {row["expected_volume"] for row in response.get_json()["rows"]} == {None}
    assert {row["volatility"] for row in response.get_json()["rows"]} == {None}
    json.loads(response.text, parse_constant=pytest.fail)


def _holed(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A forecast row with expected volume NaN and volatility infinite; other rows as they are."""
    return (*row[:-4], math.nan, math.inf, *row[-2:]) if len(row) == len(FORECAST_SCHEMA.names) else row


def test_status_names_the_forecast_and_the_provisional_model(forecasting: World, trained: TrainedModel) -> None:
    make(forecasting)
    forecasting.later(100)
    status = forecasting.client.get("/api/v1/status").get_json()
    assert status["forecast_origin"] == "2026-11-24T03:00:00Z"
    assert status["forecast_age_seconds"] == 120
    assert status["model"] == {"version": trained.card["version"], "provisional": True}
