"""Forecasts are compacted and closed as candles are; the first write of an origin wins throughout."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.support.clock import utc
from tests.support.edges import Edge
from tests.support.world import World
from upbit_elt import errors
from upbit_elt.candle import wire
from upbit_elt.flows.close_day import Closer
from upbit_elt.flows.score_forecast import Scorer
from upbit_elt.forecast.schema import FORECAST_SCHEMA, HORIZONS, QUANTILE_COLUMNS
from upbit_elt.forecast.store import MOST_FILES, store
from upbit_elt.lake import pending
from upbit_elt.warehouse.tables import locations

DAY = "261124"
MARKETS = ("KRW-BTC", "KRW-ETH", "KRW-XRP")
FIRST = utc(13, 50)


@pytest.fixture
def world(edge: Edge, tmp_path: Path) -> Iterator[World]:
    made = World(edge, tmp_path, utc(14, 50, 5), markets=3, history_days=0)
    yield made
    made.close()


def forecast(origin: datetime, price: float = 100.0) -> pa.Table:
    size = len(MARKETS) * len(HORIZONS)
    columns = {
        "market": np.repeat(MARKETS, len(HORIZONS)),
        "origin": [wire(origin)] * size,
        "horizon": list(HORIZONS) * len(MARKETS),
        "target": [wire(origin + timedelta(minutes=h)) for h in HORIZONS] * len(MARKETS),
        **{name: np.arange(size) + price + i for i, name in enumerate(QUANTILE_COLUMNS)},
        "expected_volume": np.ones(size),
        "volatility": np.full(size, 0.001),
        "model_version": ["20261124T1300Z"] * size,
        "issued_utc": pa.nulls(size, pa.string()),
    }
    return pa.table(columns, schema=FORECAST_SCHEMA)


def in_hive(world: World, table: str) -> list[tuple[object, ...]]:
    names = ", ".join(FORECAST_SCHEMA.names)
    return sorted(world.hive.query(f"SELECT {names} FROM {world.settings.database}.{table}"), key=repr)


def rows(tables: list[pa.Table]) -> list[tuple[object, ...]]:
    return sorted((tuple(row.values()) for table in tables for row in table.to_pylist()), key=repr)


def test_forecasts_are_compacted_and_closed_and_none_is_lost_doubled_or_changed(world: World) -> None:
    kept: list[pa.Table] = []

    def run() -> list[str]:
        done = Closer(world.lake, world.hive, world.settings, world.clock).run("test")
        assert world.hive.query(f"SELECT count(*) FROM {world.settings.database}.forecast")
        return [
            published.folder.removeprefix(world.lake.root)
            for published in done.made
            if "/forecast/" in published.folder
        ]

    def keep(table: pa.Table) -> bool:
        made = store(world.lake, world.hive, world.settings, table, world.clock)
        kept.extend([made.table] if made else [])
        return made is not None

    world.collect()
    origins = [FIRST + timedelta(minutes=2 * number) for number in range(MOST_FILES)]
    tables = [forecast(origin, 100.0 + number) for number, origin in enumerate(origins)]
    for table in tables[:-1]:
        assert keep(table)
    assert run() == [], "not yet"
    assert keep(tables[-1])
    assert run() == [f"/forecast/{DAY}/live-2"]
    assert in_hive(world, f"forecast_{DAY}") == rows(kept)
    assert {row["issued_utc"] for row in kept[0].to_pylist()} == {wire(world.clock.now())}

    assert not keep(forecast(origins[3], 7.0)), "it is in the compacted file, and the first write wins"
    missed = forecast(origins[3] + timedelta(minutes=1))
    assert keep(missed), "an origin between the others that was never stored is none of them"
    last = forecast(utc(14, 58))
    assert keep(last)
    assert in_hive(world, f"forecast_{DAY}") == rows(kept)

    world.collect(utc(15, 2, 5))
    assert run() == [], "the last forecast may be under way"
    world.collect(utc(15, 10, 5))
    assert run() == [f"/forecast/{DAY}/day-1"]
    assert locations(world.hive, world.settings, "forecast", [DAY])[DAY].endswith("/day-1")
    for table in (f"forecast_{DAY}", "forecast WHERE dt='2026-11-24'"):
        assert in_hive(world, table) == rows(kept)
    assert not keep(forecast(utc(14, 58), 7.0)), "a rerun of a stored origin is no error"
    with pytest.raises(errors.LakeConflict, match="too late"):
        keep(forecast(utc(14, 56)))
    assert keep(forecast(utc(15, 10)))
    assert [entry for entry in pending.listing(world.lake) if entry.task == "register"] == []

    made = Scorer(world.lake, world.hive, world.settings, world.clock).run("test")
    assert (made.troubles, [published.day for published in made.made]) == ({}, [DAY, "261125"])
    names = "market, horizon, expert, `count`, late, missed, holes, crps"
    for table in (f"score_{DAY}", "score WHERE dt='2026-11-24'"):
        found = world.hive.query(f"SELECT {names} FROM {world.settings.database}.{table}")
        served = {row[:2]: row[3:] for row in found if row[2] == "served"}
        assert len(served) == len(MARKETS) * len(HORIZONS)
        assert all(count + late + holes <= len(kept) for count, late, _, holes, _ in served.values())
        assert all((count == 0) == (crps is None) for count, _, _, _, crps in served.values())
    assert run() == []
