"""The .hyper extract, read back with Tableau's own library."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from flask.testing import FlaskClient

from flask_app import create_app
from flask_app.extract import NO_LIBRARY
from flask_app.services import EXTRACTS
from tests.unit.flask_app.test_forecasts import make
from tests.unit.flask_app.test_problems import problem
from tests.unit.flask_app.world import NOON, World, candle
from upbit_elt.candle import MINUTE, to_table
from upbit_elt.extract import hyper
from upbit_elt.forecast.schema import FORECAST_SCHEMA, HORIZONS

tableau = pytest.importorskip("tableauhyperapi", reason="Tableau's library is for x86-64 only")
FetchRequest = Callable[[str], list[list[Any]]]


def opened(world: World, folder: Path, query: str = "") -> FetchRequest:
    """Answer of the service as a function that runs SQL on it."""
    path = folder / "upbit.hyper"
    with world.client.get(f"/extract/upbit.hyper{query}") as response:
        assert response.status_code == 200
        assert "filename=upbit.hyper" in response.headers["Content-Disposition"]
        assert response.content_length == path.write_bytes(response.data)

    def select(sql: str) -> list[list[Any]]:
        parameters = {"log_dir": str(folder)}
        with (
            tableau.HyperProcess(tableau.Telemetry.DO_NOT_SEND_USAGE_DATA_TO_TABLEAU, parameters=parameters) as process,
            tableau.Connection(process.endpoint, path) as connection,
        ):
            rows: list[list[Any]] = connection.execute_list_query(sql)
            return rows

    return select


def app(world: World, **options: Any) -> FlaskClient:
    """The service over a world's lake and Hive, on another machine."""
    return create_app(world.settings, hive=world.hive, lake=world.lake, clock=world.clock, **options).test_client()


def count(select: FetchRequest, table: str) -> int:
    return int(select(f'SELECT count(*) FROM "public"."{table}"')[0][0])


def test_the_extract_holds_every_candle_of_yesterday_and_today_and_the_newest_forecast(
    forecasting: World, tmp_path: Path
) -> None:
    make(forecasting)
    select = opened(forecasting, tmp_path)
    sql = "SELECT count(*) FROM upbit_lake_replica.candle WHERE candle_date_time_kst >= '2026-11-23'"
    assert count(select, "candle") == forecasting.hive.query(sql)[0][0]
    hours = select('SELECT DISTINCT market, date_trunc(\'hour\', candle_time_kst) FROM "public"."candle"')
    assert count(select, "candle_hour") == len(hours)
    assert count(select, "candle_day") == 3 * 2
    assert count(select, "forecast") == 3 * len(HORIZONS)


def test_times_are_timestamps_in_utc_and_kst(forecasting: World, tmp_path: Path) -> None:
    make(forecasting)
    select = opened(forecasting, tmp_path, "?days=0")
    ((utc, kst, price),) = select(
        'SELECT candle_time_utc, candle_time_kst, trade_price FROM "public"."candle" '
        "WHERE market = 'KRW-BTC' ORDER BY candle_time_utc DESC LIMIT 1"
    )
    last = candle("KRW-BTC", NOON - MINUTE)
    assert (utc.to_datetime(), kst.to_datetime()) == (datetime(2026, 11, 24, 2, 59), datetime(2026, 11, 24, 11, 59))
    assert price == last.trade_price
    ((hour_utc, hour_kst),) = select(
        'SELECT max(candle_time_utc), max(candle_time_kst) FROM "public"."candle_hour" WHERE market = \'KRW-BTC\''
    )
    assert (hour_utc.to_datetime(), hour_kst.to_datetime()) == (datetime(2026, 11, 24, 2), datetime(2026, 11, 24, 11))
    ((origin, target),) = select(
        'SELECT origin_kst, target_utc FROM "public"."forecast" WHERE market = \'KRW-ETH\' AND horizon = 60'
    )
    assert (origin.to_datetime(), target.to_datetime()) == (datetime(2026, 11, 24, 12), datetime(2026, 11, 24, 4))


def test_days_are_the_sums_of_their_minutes(world: World, tmp_path: Path) -> None:
    select = opened(world, tmp_path)
    (day,) = select(
        "SELECT opening_price, high_price, low_price, trade_price, candle_acc_trade_volume, minutes_with_trades "
        "FROM \"public\".\"candle_day\" WHERE market = 'KRW-BTC' AND candle_time_kst = '2026-11-24 00:00:00'"
    )
    (sums,) = world.hive.query(
        "SELECT max(high_price), min(low_price), sum(candle_acc_trade_volume), count(*) "
        "FROM upbit_lake_replica.candle WHERE market = 'KRW-BTC' AND candle_date_time_kst >= '2026-11-24'"
    )
    assert (day[1], day[2], day[4], day[5]) == pytest.approx(sums)
    assert day[0] == candle("KRW-BTC", NOON - 720 * MINUTE).opening_price
    assert day[3] == candle("KRW-BTC", NOON - MINUTE).trade_price


def test_days_further_back_than_the_page_shows_are_in_it(world: World, tmp_path: Path) -> None:
    select = opened(world, tmp_path, "?days=7")
    sql = "SELECT count(*) FROM upbit_lake_replica.candle WHERE candle_date_time_kst >= '2026'"
    ((candles, first),) = select('SELECT count(*), min(candle_time_kst) FROM "public"."candle"')
    assert candles == world.hive.query(sql)[0][0]
    assert first.to_datetime() == datetime(2026, 11, 22), "60 hours before noon KST"
    assert count(select, "candle_day") == 3 * 3


def test_a_day_that_cannot_be_read_is_a_problem_not_a_short_file(world: World) -> None:
    path = max(path for path in world.lake.files if "/candle/261123/" in path)
    world.lake.files[path] = world.lake.files[path][:100]
    body = problem(world.client.get("/extract/upbit.hyper"))
    assert (body["status"], body["type"]) == (500, "/problems/lake_broken")
    assert path in body["detail"]
    with world.client.get("/extract/upbit.hyper?days=0") as response:
        assert response.status_code == 200, "the place is free again"


def test_an_extract_of_many_days_has_one_in_memory_at_a_time(tmp_path: Path) -> None:
    taken: list[weakref.ref[pa.Table]] = []
    in_memory = []

    def days() -> Iterator[pa.Table]:
        for age in range(4):
            in_memory.append(sum(table() is not None for table in taken))
            table = to_table([candle("KRW-BTC", NOON - age * timedelta(days=1))])
            taken.append(weakref.ref(table))
            yield table
            del table

    hyper.write(days(), FORECAST_SCHEMA.empty_table(), tmp_path)
    assert in_memory == [0] * 4


def test_more_extracts_at_once_than_allowed_get_503_with_retry_after(world: World) -> None:
    with ExitStack() as fetching:
        first = [fetching.enter_context(world.client.get("/extract/upbit.hyper?days=0")) for _ in range(EXTRACTS)]
        assert [response.status_code for response in first] == [200] * EXTRACTS
        quarantined = world.client.get("/extract/upbit.hyper")
        assert (problem(quarantined)["status"], problem(quarantined)["type"]) == (503, "/problems/busy")
        assert quarantined.headers["Retry-After"].isdigit()
        assert world.client.get("/api/v1/status").status_code == 200
    with world.client.get("/extract/upbit.hyper?days=0") as response:
        assert response.status_code == 200


def test_an_empty_lake_has_an_extract_without_rows(empty_world: World, tmp_path: Path) -> None:
    select = opened(empty_world, tmp_path)
    assert [count(select, name) for name in ("candle", "candle_hour", "candle_day", "forecast")] == [0, 0, 0, 0]


@pytest.mark.parametrize("days", ["-1", "8", "all"])
def test_days_out_of_range_are_400(world: World, days: str) -> None:
    assert problem(world.client.get(f"/extract/upbit.hyper?days={days}"))["status"] == 400


def test_no_file_stays_behind(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with app(world, scratch=tmp_path).get("/extract/upbit.hyper") as response:
        assert response.status_code == 200
        assert list(tmp_path.iterdir()) == []


def test_a_machine_without_tableaus_library_says_so(world: World) -> None:
    body = problem(app(world, extract_trouble=NO_LIBRARY).get("/extract/upbit.hyper"))
    assert (body["status"], body["type"]) == (501, "/problems/no_extract")
    assert "x86-64" in body["detail"]
