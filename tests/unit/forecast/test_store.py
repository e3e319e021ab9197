"""When a forecast was issued: said by every file, also beside files of the release before, which did not say it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.clock import ManualClock, utc
from tests.support.edges import MemoryEdge
from tests.support.simulation import forecast_of
from upbit_elt.candle import MINUTE, wire
from upbit_elt.forecast.schema import FORECAST
from upbit_elt.forecast.store import compact_day, store
from upbit_elt.lake import layout
from upbit_elt.lake.lease import lease
from upbit_elt.lake.parquet import encode
from upbit_elt.lake.snapshot import read_files
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.warehouse.hive import Hive

DAY, ORIGIN = "261124", utc(14, 50)
MARKETS = ("KRW-BTC", "KRW-ETH")
EDGE = MemoryEdge().settings


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(ORIGIN + timedelta(seconds=20))


@pytest.fixture
def edge(clock: ManualClock) -> tuple[Lake, Hive]:
    return MemoryEdge().open(EDGE, clock)


def test_a_forecast_is_issued_when_it_is_written_not_while_it_waits_for_the_lease(
    edge: tuple[Lake, Hive], clock: ManualClock
) -> None:
    lake, hive = edge
    folder = layout.day_folder(lake.root, "forecast", DAY)
    with lease(lake, folder, ManualClock(clock.now() + timedelta(seconds=1))):
        made = store(lake, hive, EDGE, forecast_of(ORIGIN, MARKETS), clock)
    assert made is not None
    assert clock.now() > ORIGIN + MINUTE
    assert set(made.table.column("issued_utc").to_pylist()) == {wire(clock.now())}
    (source,) = read_files(lake, FORECAST, DAY)
    assert source.table.equals(made.table)


def test_files_of_the_release_before_are_compacted_with_newer_ones(edge: tuple[Lake, Hive], clock: ManualClock) -> None:
    lake, hive = edge
    folder = layout.live_folder(lake.root, "forecast", DAY, 1)
    old = forecast_of(ORIGIN - 2 * MINUTE, MARKETS).drop_columns(["issued_utc"])
    lake.publish(f"{folder}/{layout.stamp(ORIGIN - 2 * MINUTE)}.parquet", encode(old))
    store(lake, hive, EDGE, forecast_of(ORIGIN, MARKETS), clock)
    with lease(lake, layout.day_folder(lake.root, "forecast", DAY), clock) as held:
        made = compact_day(lake, DAY, "test", held, complete=True)
    assert made.rows == 2 * old.num_rows
    (source,) = read_files(lake, FORECAST, DAY)
    found = set(zip(*(source.table.column(name).to_pylist() for name in ("origin", "issued_utc")), strict=True))
    assert found == {(wire(ORIGIN - 2 * MINUTE), None), (wire(ORIGIN), wire(ORIGIN + timedelta(seconds=20)))}
