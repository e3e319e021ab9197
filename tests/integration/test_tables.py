"""Daily tables and the table over all days, on a real HiveServer2."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.clock import utc
from tests.support.exchange import minute_row
from upbit_elt.candle import Candle, to_table
from upbit_elt.errors import QueryFailed, WarehouseUnavailable
from upbit_elt.lake.parquet import encode
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive
from upbit_elt.warehouse.register import register_all
from upbit_elt.warehouse.tables import ensure_day, is_registered, locations

ROW = minute_row("KRW-BTC", utc(1, 5), 162483000.0)


@pytest.fixture
def here(daemons: Settings) -> Iterator[Settings]:
    made = daemons.model_copy(update={"dataset": f"replica_{uuid4().hex[:12]}"})
    yield made
    hive = Hive.from_settings(made)
    hive.execute(f"DROP DATABASE IF EXISTS {made.database} CASCADE")
    hive.execute(f"DROP DATABASE IF EXISTS {made.bi_database} CASCADE")
    Lake.from_settings(made).delete(made.lake_root)


def snapshot(here: Settings, name: str, *minutes: int) -> str:
    rows = [Candle(**minute_row("KRW-BTC", utc(1, minute), 162483000.0)) for minute in minutes]
    folder = f"{here.lake_root}/candle/261124/{name}"
    Lake.from_settings(here).publish(f"{folder}/candle.parquet", encode(to_table(rows)))
    return folder


def test_a_day_is_a_table_of_its_own_and_a_partition_of_all_days(here: Settings) -> None:
    hive = Hive.from_settings(here)
    assert locations(hive, here, "candle", ["261124", "261125"]) == {}
    folder = snapshot(here, "live-1", 5)
    ensure_day(hive, here, "candle", "261124", folder)
    assert hive.query(f"SELECT * FROM {here.database}.candle_261124") == [tuple(ROW.values())]
    assert hive.query(f"SELECT * FROM {here.database}.candle") == [(*ROW.values(), "2026-11-24")]
    assert locations(hive, here, "candle", ["261124", "261125"]) == {"261124": folder}


def test_bi_tools_get_real_timestamps(here: Settings) -> None:
    hive = Hive.from_settings(here)
    ensure_day(hive, here, "candle", "261124", snapshot(here, "live-1", 5))
    sql = f"SELECT candle_time_utc, candle_time_kst, dt FROM {here.bi_database}.candle"
    assert hive.query(sql) == [(datetime(2026, 11, 24, 1, 5), datetime(2026, 11, 24, 10, 5), "2026-11-24")]


@pytest.mark.parametrize("by", ["the day's next snapshot", "housekeeping"])
def test_a_view_of_an_earlier_release_is_replaced(here: Settings, by: str) -> None:
    hive = Hive.from_settings(here)
    ensure_day(hive, here, "candle", "261124", snapshot(here, "live-1", 5))
    hive.execute(f"DROP VIEW {here.bi_database}.candle")
    hive.execute(f"CREATE VIEW {here.bi_database}.candle AS SELECT market, dt FROM {here.database}.candle")
    if by == "housekeeping":
        register_all(Lake.from_settings(here), hive, here)
    else:
        ensure_day(hive, here, "candle", "261124", snapshot(here, "live-2", 5))
    assert hive.query(f"SELECT market, trade_price, dt FROM {here.bi_database}.candle") == [
        ("KRW-BTC", 162483000.0, "2026-11-24")
    ]


def test_a_new_snapshot_is_registered_and_a_half_done_registration_completed(here: Settings) -> None:
    hive = Hive.from_settings(here)
    ensure_day(hive, here, "candle", "261124", snapshot(here, "live-1", 5))
    second = snapshot(here, "live-2", 5, 6)
    uri = f"{here.hdfs_uri}{second}"
    hive.execute(f"ALTER TABLE {here.database}.candle_261124 SET LOCATION '{uri}'")
    counts = [hive.query(f"SELECT count(*) FROM {here.database}.{name}") for name in ("candle_261124", "candle")]
    assert counts == [[(2,)], [(1,)]], "the two disagree, as after a crash between the two switches"
    ensure_day(hive, here, "candle", "261124", second)
    counts = [hive.query(f"SELECT count(*) FROM {here.database}.{name}") for name in ("candle_261124", "candle")]
    assert counts == [[(2,)], [(2,)]]


def test_a_daily_table_that_was_dropped_is_noticed_and_created_again(here: Settings) -> None:
    hive = Hive.from_settings(here)
    folder = snapshot(here, "live-1", 5)
    ensure_day(hive, here, "candle", "261124", folder)
    assert is_registered(hive, here, "candle", "261124", folder)
    hive.execute(f"DROP TABLE {here.database}.candle_261124")
    assert not is_registered(hive, here, "candle", "261124", folder)
    ensure_day(hive, here, "candle", "261124", folder)
    hive.execute(f"ALTER TABLE {here.database}.candle_261124 SET LOCATION '{here.hdfs_uri}{folder}x'")
    assert not is_registered(hive, here, "candle", "261124", folder)
    assert not is_registered(hive, here, "candle", "261125", folder)


def test_dropping_a_table_leaves_the_files(here: Settings) -> None:
    hive, lake = Hive.from_settings(here), Lake.from_settings(here)
    folder = snapshot(here, "live-1", 5)
    ensure_day(hive, here, "candle", "261124", folder)
    hive.execute(f"DROP TABLE {here.database}.candle_261124", f"DROP TABLE {here.database}.candle")
    assert [entry.name for entry in lake.list(folder)] == ["candle.parquet"]


def test_parameters_are_quoted(here: Settings) -> None:
    hive = Hive.from_settings(here)
    text = "KRW-'; DROP TABLE x -- \\"
    assert hive.query("SELECT %(text)s", {"text": text}) == [(text,)]


def test_a_wrong_statement_comes_back_with_hives_own_words(here: Settings) -> None:
    with pytest.raises(QueryFailed, match="Table not found"):
        Hive.from_settings(here).query("SELECT * FROM nowhere")


def test_a_server_that_is_away_or_silent_is_named_within_the_timeout() -> None:
    with pytest.raises(WarehouseUnavailable, match=r"127\.0\.0\.1:9 does not answer"):
        Hive("127.0.0.1", 9, "me", "x", 2.0).query("SELECT 1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(WarehouseUnavailable, match="authentication"):
            Hive("127.0.0.1", port, "me", "x", 1.0).query("SELECT 1")


def test_a_result_that_comes_too_late_is_not_taken_for_the_next_one(here: Settings) -> None:
    hasty = Hive.from_settings(here.model_copy(update={"hive_timeout": 2.0}))
    many = "LATERAL VIEW explode(split(space(5000), ' '))"
    with pytest.raises(WarehouseUnavailable, match="timeout 2 s"):
        hasty.query(f"SELECT count(DISTINCT a.x, b.y) FROM (SELECT 1) one {many} a AS x {many} b AS y")
    assert Hive.from_settings(here).query("SELECT 7") == [(7,)]


def test_a_session_takes_several_statements_and_goes_on_after_one_that_is_refused(here: Settings) -> None:
    with Hive.from_settings(here).session() as session:
        session.execute("SET hive.query.name=mine")
        with pytest.raises(QueryFailed, match="Table not found"):
            session.query("SELECT * FROM nowhere")
        assert session.query("SET hive.query.name") == [("hive.query.name=mine",)], "it is the same session still"


def test_a_session_that_ends_takes_no_folder_of_those_that_are_open(daemons: Settings) -> None:
    hive = Hive.from_settings(daemons)
    with hive.session() as session:
        hive.query("SELECT 1")
        [(setting,)] = session.query("SET hive.downloaded.resources.dir")
        assert Path(setting.partition("=")[2]).is_dir()
