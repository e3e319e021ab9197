"""The Flask service on the real HDFS and Hive: its own SQL, its own forecasts, its own window."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr

from tests.unit.flask_app.world import NOON, AnyWorld, candle
from upbit_elt.candle import FIELDS, MINUTE, wire
from upbit_elt.forecast.artifacts import save_model
from upbit_elt.forecast.panel import Panel
from upbit_elt.forecast.schema import HORIZONS
from upbit_elt.forecast.train import train
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive

TOKEN = "integration-token"
RealWorld = AnyWorld[Lake, Hive]


@pytest.fixture(scope="module")
def world(daemons: Settings) -> Iterator[RealWorld]:
    """The unit tests' world, published to the real lake and shown by the real Hive."""
    here = daemons.model_copy(update={"dataset": "flask_service", "flask_token": SecretStr(TOKEN)})
    lake, hive = Lake.from_settings(here), Hive.from_settings(here)
    world = AnyWorld(here, lake, hive)
    world.publish(NOON - timedelta(hours=50), NOON)
    yield world
    for database in (here.database, here.bi_database):
        hive.execute(f"DROP DATABASE IF EXISTS {database} CASCADE")
    lake.delete(here.lake_root)


@pytest.fixture(scope="module")
def client(world: RealWorld) -> FlaskClient:
    return world.client


def test_ready(client: FlaskClient) -> None:
    assert client.get("/readyz").status_code == 200


def test_old_candles_come_from_hive_as_they_were_stored(client: FlaskClient) -> None:
    end = NOON - timedelta(hours=40)
    query = {"market": "KRW-BTC", "from": wire(end - 5 * MINUTE), "to": wire(end)}
    rows = client.get("/api/v1/candles", query_string=query).get_json()
    stored = [candle("KRW-BTC", end - n * MINUTE) for n in range(1, 6)]
    assert rows == [{name: getattr(one, name) for name in FIELDS} for one in stored]


def test_new_minutes_are_followed_and_a_forecast_is_stored_and_read_back(world: RealWorld, client: FlaskClient) -> None:
    assert client.get("/api/v1/status").get_json()["covered_until"] == "2026-11-24T03:00:00Z"
    world.publish(NOON, NOON + 2 * MINUTE)
    window = client.application.extensions["upbit_elt"].follower.refresh()
    assert window.end == NOON + 2 * MINUTE
    save_model(world.lake, train(Panel.from_table(window.candles, end=window.end, minutes=300), now=NOON))
    header = {"Authorization": f"Bearer {TOKEN}"}
    made = client.post("/api/v1/forecasts", headers=header).get_json()
    assert (made["origin"], made["rows"], made["stored"]) == ("2026-11-24T03:02:00Z", 3 * len(HORIZONS), True)
    assert client.post("/api/v1/forecasts", headers=header).get_json() == {**made, "file": None, "stored": False}
    served = client.get("/api/v1/forecasts?market=KRW-ETH").get_json()
    restarted = AnyWorld(world.settings, world.lake, world.hive).client
    assert restarted.get("/api/v1/forecasts?market=KRW-ETH").get_json() == served
    by_origin = "/api/v1/forecasts?market=KRW-ETH&origin=2026-11-24T03:02:00Z"
    assert restarted.get(by_origin).get_json() == served


def test_the_extract_is_written(client: FlaskClient) -> None:
    with client.get("/extract/upbit.hyper") as response:
        assert response.status_code == 200
        assert len(response.data) > 50_000
