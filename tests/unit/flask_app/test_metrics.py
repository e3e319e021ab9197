"""What `/metrics` says; that a scrape causes no request, and the watch only those that it needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flask_app.forecasts import Forecast
from flask_app.services import Services
from tests.support.http_server import Handler, serving
from tests.support.prometheus import metrics_of, queries, rules
from tests.unit.flask_app.test_freshness import failed_run
from tests.unit.flask_app.world import MARKETS, NOON, World
from upbit_elt.candle import MINUTE, Candle, kst_day, to_table
from upbit_elt.clock import SystemClock
from upbit_elt.exchange.limits import AddressLimits
from upbit_elt.lake import layout
from upbit_elt.lake.coverage import Coverage, Recheck
from upbit_elt.lake.parquet import encode

Samples = dict[str, float]


def services(world: World) -> Services:
    found: Services = world.app.extensions["upbit_elt"]
    return found


def scrape(world: World) -> Samples:
    """Every sample by `name{label="value",...}`."""
    response = world.client.get("/metrics")
    assert response.status_code == 200
    found = {}
    for family in text_string_to_metric_families(response.get_data(as_text=True)):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


@pytest.fixture
def watched(published: World, namenode: str, tmp_path: Path) -> World:
    """What was published, in a world with a state folder and a NameNode of its own; the watch has looked once."""
    world = World(state_dir=tmp_path / "state", webhdfs_url=namenode, backup_folder=tmp_path / "to")
    world.lake.files.update(published.lake.files)
    world.hive.places.update(published.hive.places)
    services(world).watch.look()
    return world


@pytest.fixture(scope="module")
def namenode() -> Iterator[str]:
    """A NameNode's `/jmx`, in the form in which Hadoop 3.4 answers."""
    beans: dict[str, dict[str, Any]] = {
        "java.lang:type=Memory": {"HeapMemoryUsage": {"committed": 99, "init": 50, "max": 200, "used": 70}},
        "Hadoop:service=NameNode,name=FSNamesystemState": {
            "CapacityTotal": 1000,
            "CapacityUsed": 100,
            "CapacityRemaining": 800,
            "NumLiveDataNodes": 2,
            "NumDeadDataNodes": 1,
        },
    }

    class Jmx(Handler):
        def do_GET(self) -> None:
            name = parse_qs(urlsplit(self.path).query)["qry"][0]
            self.send(200, json.dumps({"beans": [{"name": name, **beans[name]}]}).encode())

    with serving(Jmx) as url:
        yield url


def test_up_to_where_candles_are_known_by_quote(watched: World) -> None:
    found = scrape(watched)
    for reach in ("half", "most", "all"):
        name = f'upbit_candle_known_until_timestamp_seconds{{quote="KRW",reach="{reach}"}}'
        assert found[name] == NOON.timestamp()
    assert found['upbit_markets{quote="KRW",state="fresh"}'] == 3
    assert found['upbit_markets{quote="KRW",state="stale"}'] == 0
    assert found["upbit_stale_after_seconds"] == 300
    assert found["upbit_services_up"] == 1


def test_stale_markets_and_holes_have_their_reason(watched: World) -> None:
    failed_run(watched, 10, ("KRW-ETH",))
    services(watched).watch.look()
    found = scrape(watched)
    assert found['upbit_stale_markets{quote="KRW",reason="unreachable"}'] == 1
    assert found['upbit_hole_minutes{reason="unreachable"}'] == 10
    known = 'upbit_candle_known_until_timestamp_seconds{quote="KRW",reach="%s"}'
    assert found[known % "half"] == (NOON + 10 * MINUTE).timestamp()
    assert found[known % "all"] == NOON.timestamp()


def test_each_quote_currency_is_measured_by_its_own_markets(watched: World) -> None:
    end = NOON + 2 * MINUTE
    watermark = {"KRW-BTC": end, "BTC-ETH": end, "KRW-OLD": NOON - timedelta(days=1)}
    rows: list[Candle] = []
    path = f"{layout.live_folder(watched.lake.root, 'candle', kst_day(NOON), 1)}/{layout.window_name(NOON, end)}"
    watched.lake.publish(path, encode(to_table(rows), Coverage(NOON, end, "run", (), watermark)))
    watched.later(300)
    services(watched).watch.look()
    found = scrape(watched)
    assert found['upbit_markets{quote="KRW",state="gone"}'] == 1
    assert found['upbit_markets{quote="BTC",state="fresh"}'] == 1


def test_bad_rows_count_their_markets_as_in_quarantine(watched: World) -> None:
    end = NOON + 2 * MINUTE
    rechecks = tuple(Recheck(market, NOON, NOON + MINUTE, "hole", end) for market in MARKETS[:2])
    path = f"{layout.live_folder(watched.lake.root, 'candle', kst_day(NOON), 1)}/{layout.window_name(NOON, end)}"
    coverage = Coverage(NOON, end, "run", (), dict.fromkeys(MARKETS, end), rechecks)
    watched.lake.publish(path, encode(to_table([]), coverage))
    watched.later(300)
    services(watched).watch.look()
    found = scrape(watched)
    assert found["upbit_quarantine_markets"] == 2
    assert found['upbit_recheck_minutes{state="hole"}'] == 2


def test_forecasts_are_as_old_as_their_origin(watched: World) -> None:
    services(watched).forecasts.remember(Forecast(NOON, "version", {market: [] for market in MARKETS}))
    found = scrape(watched)
    assert found['upbit_forecast_origin_timestamp_seconds{quote="KRW"}'] == NOON.timestamp()
    assert found['upbit_forecast_markets{quote="KRW"}'] == 3


def test_disk_heap_and_datanodes(watched: World) -> None:
    found = scrape(watched)
    assert (found["upbit_hdfs_capacity_bytes"], found["upbit_hdfs_free_bytes"]) == (1000, 800)
    assert (found["upbit_namenode_heap_used_bytes"], found["upbit_namenode_heap_max_bytes"]) == (70, 200)
    assert found['upbit_hdfs_datanodes{state="dead"}'] == 1
    assert 0 < found["upbit_disk_free_bytes"] < found["upbit_disk_size_bytes"]
    assert found["process_resident_memory_bytes"] > 0


def test_a_ban_is_shown_while_it_lasts(watched: World) -> None:
    assert scrape(watched)["upbit_exchange_ban_seconds"] == 0
    clock = SystemClock()
    AddressLimits(watched.settings.state_dir, 10, clock).ban(clock.now() + timedelta(seconds=500))
    assert 490 < scrape(watched)["upbit_exchange_ban_seconds"] <= 500


def test_a_scrape_works_without_hdfs_and_hive(watched: World) -> None:
    before = scrape(watched)
    watched.lake.up = watched.hive.up = False
    watched.later(3600)
    found = scrape(watched)
    name = 'upbit_candle_known_until_timestamp_seconds{quote="KRW",reach="most"}'
    assert found[name] == before[name]
    assert found['upbit_markets{quote="KRW",state="stale"}'] == 3


def test_before_the_first_candle_there_are_figures_too(tmp_path: Path) -> None:
    found = scrape(World(state_dir=tmp_path, webhdfs_url="http://127.0.0.1:9"))
    assert found["upbit_state_folder_up"] == 1
    assert "upbit_services_up" not in found


def test_a_state_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = scrape(World(state_dir=tmp_path / "file" / "state", webhdfs_url="http://127.0.0.1:9"))
    assert found["upbit_state_folder_up"] == 0


def test_the_watch_finds_new_candles_and_says_when_hdfs_is_away(watched: World) -> None:
    watched.lake.up = False
    watched.later(600)
    services(watched).watch.look()
    assert scrape(watched)["upbit_services_up"] == 0
    watched.lake.up = True
    watched.publish(NOON, NOON + 10 * MINUTE)
    services(watched).watch.look()
    found = scrape(watched)
    assert found["upbit_services_up"] == 1
    name = 'upbit_candle_known_until_timestamp_seconds{quote="KRW",reach="most"}'
    assert found[name] == (NOON + 10 * MINUTE).timestamp()


def test_every_metric_of_the_rules_and_the_board_is_exported(watched: World) -> None:
    services(watched).forecasts.remember(Forecast(NOON, "version", {"KRW-BTC": []}))
    text = watched.client.get("/metrics").get_data(as_text=True)
    families = text_string_to_metric_families(text)
    known = {family.name + end for family in families for end in ("", "_total", "_count", "_sum", "_bucket")}
    expressions = [rule["expr"] for rule in rules().values()] + queries()
    assert {name for expression in expressions for name in metrics_of(expression)} - known == set()
