"""A day that cannot be read or written stays open with its reason; the others are closed, and so are the forecasts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.support.clock import utc
from tests.support.edge import Fault
from tests.support.world import MemoryWorld
from tests.unit.flask_app.fakes import FileHive, MemoryLake
from upbit_elt.candle import wire
from upbit_elt.errors import LakeUnavailable, QueryFailed, WarehouseUnavailable
from upbit_elt.flows.close_day import Closed, Closer
from upbit_elt.forecast.schema import FORECAST_SCHEMA
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.parquet import encode
from upbit_elt.lake.webhdfs import Lake

NOW = utc(15, 10, 5)  # 00:10 KST of the 25th
DAYS = ["261124", "261123", "261122"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> MemoryWorld:
    """Three days that are over and open still, each with forecasts; the fourth has begun."""
    made = MemoryWorld(tmp_path_factory.mktemp("state"), utc(14, 50, 5, day=22), markets=3, history_days=0)
    made.collect()
    made.fill_history()
    for _ in range(6):  # often enough that nothing is left to the backfill, which would close a day that is over
        made.collect(made.clock.now().replace(minute=50, second=5) + timedelta(hours=8))
    for day in (22, 23, 24):
        put_forecast(made, utc(14, 30, day=day))
    made.collect(NOW)
    made.client.close()
    return made


@pytest.fixture
def world(built: MemoryWorld, tmp_path: Path) -> Iterator[MemoryWorld]:
    made = MemoryWorld(tmp_path, built.clock.now(), like=built)
    yield made
    made.client.close()


def put_forecast(world: MemoryWorld, origin: datetime) -> None:
    values: dict[str, Any] = {"int32": 1, "int64": 1, "float": 1.0, "double": 1.0}
    row = {field.name: values.get(str(field.type), "x") for field in FORECAST_SCHEMA}
    row |= {"market": "KRW-BTC", "origin": wire(origin)}
    table = pa.Table.from_pylist([row], schema=FORECAST_SCHEMA)
    folder = layout.live_folder(world.lake.root, "forecast", f"2611{origin.day:02}", 1)
    world.lake.publish(f"{folder}/{layout.stamp(origin)}.parquet", encode(table))


class OddHive(FileHive):
    """A Hive that rejects every statement with one name in it, or that is away."""

    refuses, out = "", False

    def execute(self, *statements: str) -> None:
        if self.out:
            raise WarehouseUnavailable("HiveServer2 does not answer")
        if self.refuses and any(self.refuses in statement for statement in statements):
            raise QueryFailed(f"{self.refuses}: not allowed")
        super().execute(*statements)

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        if self.out:
            raise WarehouseUnavailable("HiveServer2 does not answer")
        return super().query(sql, parameters)


def hive(world: MemoryWorld) -> OddHive:
    return OddHive(MemoryLake(), world.settings.database)


def close(world: MemoryWorld, on: OddHive | None = None) -> Closed:
    return Closer(world.lake, on or hive(world), world.settings, world.clock).run("test")


def complete(world: MemoryWorld, kind: Any, day: str) -> bool:
    snapshot = ledger.current(world.lake, kind, day)
    return snapshot is not None and snapshot.complete


@pytest.mark.parametrize("damage", ["bytes", "block", "empty"])
@pytest.mark.parametrize(("kind", "day"), [("candle", DAYS[0]), ("candle", DAYS[1]), ("forecast", DAYS[0])])
def test_a_file_that_cannot_be_read_keeps_its_own_day_open_and_no_other(
    world: MemoryWorld, kind: Any, day: str, damage: str
) -> None:
    snapshot = ledger.current(world.lake, kind, day)
    assert snapshot is not None
    path = ledger.files(world.lake, snapshot, day)[0].path
    if damage == "block":
        world.hdfs.lose(path)
    else:
        world.hdfs.put(path, b"" if damage == "empty" else world.hdfs.files()[path][:-9] + b"not Parquet")
    done = close(world)
    name = f"{kind} {day}"
    assert list(done.troubles) == [name]
    assert path in done.troubles[name]
    closed = {(kind, one) for kind in ("candle", "forecast") for one in DAYS if complete(world, kind, one)}
    assert closed == {(one, other) for one in ("candle", "forecast") for other in DAYS} - {(kind, day)}
    assert close(world).troubles == done.troubles


def test_a_table_that_hive_refuses_keeps_no_other_day_open(world: MemoryWorld) -> None:
    odd = hive(world)
    odd.refuses = f"candle_{DAYS[0]}"
    done = close(world, odd)
    assert list(done.troubles) == [f"candle {DAYS[0]}"]
    assert f"candle_{DAYS[0]}: not allowed" in done.troubles[f"candle {DAYS[0]}"]
    assert {(p.day, p.file_name) for p in done.made} >= {(day, "candle.parquet") for day in DAYS[1:]}
    odd.refuses = ""
    assert close(world, odd).repaired_tables == [f"candle {DAYS[0]}"], "it was closed, and is shown now"


def test_an_outage_of_hive_or_hdfs_ends_the_run(world: MemoryWorld) -> None:
    odd = hive(world)
    odd.out = True
    with pytest.raises(WarehouseUnavailable):
        close(world, odd)
    dead = Lake(world.hdfs.client(lambda call: Fault.NEVER_ARRIVES), world.lake.root)
    with pytest.raises(LakeUnavailable):
        Closer(dead, odd, world.settings, world.clock).run("test")
    world.hdfs.safe_mode = True
    assert close(world).troubles.keys() >= {f"{kind} {day}" for kind in ("candle", "forecast") for day in DAYS}
    world.hdfs.safe_mode = False
    assert close(world).troubles == {}
    assert all(complete(world, kind, day) for kind in ("candle", "forecast") for day in DAYS)
