"""The record: what is stored meets what came, once each, by hand-made sums; late, missed and unknown are counted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from tests.support.invariants import broken
from tests.support.simulation import Trace, World, utc
from upbit_elt.candle import MINUTE, Candle, parse_wire, wire
from upbit_elt.flows.score_forecast import Scored
from upbit_elt.forecast import store
from upbit_elt.forecast.schema import FORECAST, FORECAST_SCHEMA, HORIZONS, QUANTILE_COLUMNS, QUANTILES
from upbit_elt.forecast.score_day import SCORE, SCORE_SCHEMA
from upbit_elt.lake import layout, ledger, publish
from upbit_elt.lake.lease import lease
from upbit_elt.lake.parquet import encode
from upbit_elt.lake.snapshot import read_files

DAY, BEGIN = "261124", utc("2026-11-24T03:00:00")
SPREAD = [1000.0 + 55 * number for number in range(9)]  # prices of this exchange are 1000 to 1518
Row = dict[str, Any]


def collecting(now: str) -> World:
    """A deployment with its history brought in, some minutes before `now`; no forecast was made yet."""
    world = World.fresh(utc(now) - timedelta(minutes=20))
    for minute in range(0, 16, 2):
        world.at(utc(now) + timedelta(minutes=minute - 20)).process().live()
        world.process().backfill()
    return world


@pytest.fixture(scope="module")
def noon() -> World:
    return collecting("2026-11-24T03:00:05")


@pytest.fixture(scope="module")
def closed() -> World:
    return closed_day()


def forecasts(origin: datetime, markets: list[str]) -> pa.Table:
    """Forecasts as wide as the exchange's prices, somewhat shifted from origin to origin."""
    shift = origin.minute % 7
    rows = [
        {
            "market": market,
            "origin": wire(origin),
            "horizon": horizon,
            "target": wire(origin + horizon * MINUTE),
            **{name: price + shift for name, price in zip(QUANTILE_COLUMNS, SPREAD, strict=True)},
            "expected_volume": 1.0,
            "volatility": 0.1,
            "model_version": "m",
            "issued_utc": None,
        }
        for market in markets
        for horizon in HORIZONS
    ]
    return pa.Table.from_pylist(rows, schema=FORECAST_SCHEMA)


def cycle(world: World, moment: datetime, *, after: float | None = 20) -> None:
    """A live run at a moment, and the forecast of its end so many seconds later (None: it is never made)."""
    process = world.at(moment).process()
    process.live()
    newest = ledger.live_coverage(process.lake)
    if after is not None and newest:
        world.clock.set(newest.end + timedelta(seconds=after))
        made = forecasts(newest.end, sorted(world.exchange.markets))
        store.store(process.lake, process.hive, world.settings, made, world.clock)


def recorded(world: World, cycles: int, **after: float | None) -> World:
    """Some cycles from BEGIN on; `after` says what is special about the cycle of a number, as `c3=90`."""
    for number in range(cycles):
        cycle(world, BEGIN + timedelta(minutes=2 * number, seconds=5), after=after.get(f"c{number}", 20))
    return world


def score(world: World) -> Scored:
    done = world.process().score()
    assert done.troubles == {}
    return done


def rows(world: World, day: str = DAY) -> list[Row]:
    """The scores of a day in the lake; Hive shows the same, by table and by partition."""
    (source,) = read_files(world.process().lake, SCORE, day)
    found: list[Row] = source.table.to_pylist()
    names = ", ".join(f"`{name}`" for name in SCORE_SCHEMA.names)
    for table in (f"score_{day}", f"score WHERE dt = '20{day[:2]}-{day[2:4]}-{day[4:]}'"):
        shown = world.process().hive.query(f"SELECT {names} FROM {world.settings.database}.{table}")
        assert shown == [tuple(row.values()) for row in found]
    return found


def stored(world: World) -> list[Row]:
    """All forecasts that Hive shows."""
    names = [*FORECAST_SCHEMA.names, "dt"]
    found = world.process().hive.query(f"SELECT * FROM {world.settings.database}.forecast")
    return [dict(zip(names, row, strict=True)) for row in found]


class ByHand:
    """Scores of one market and horizon as their definition says, from the exchange's own candles."""

    def __init__(self, world: World, made: list[Row], candles: list[Candle], market: str, horizon: int) -> None:
        self.prices = [(c.start + MINUTE, c.trade_price) for c in candles if c.market == market]
        newest = ledger.live_coverage(world.process().lake)
        assert newest
        made = [row for row in made if (row["market"], row["horizon"]) == (market, horizon)]
        self.late = [row for row in made if row["issued_utc"] >= row["target"]]
        self.scored = [row for row in made if row not in self.late and parse_wire(row["target"]) <= newest.end]

    def at(self, moment: datetime) -> float:
        return [price for end, price in self.prices if end <= moment][-1]

    def losses(self) -> Iterator[dict[str, float]]:
        for row in self.scored:
            came = self.at(parse_wire(row["target"]))
            misses = [10_000 * (math.log(came) - math.log(row[name])) for name in QUANTILE_COLUMNS]
            levels = [level * m if m > 0 else (level - 1) * m for level, m in zip(QUANTILES, misses, strict=True)]
            yield {
                "crps": 2 * sum(levels) / len(levels),
                "mae": abs(misses[4]),
                "pinball_q05": levels[0],
                "pinball_q95": levels[-1],
                "naive": abs(10_000 * math.log(came / self.at(parse_wire(row["origin"])))),
            }

    def mean(self, name: str) -> float:
        return sum(loss[name] for loss in self.losses()) / len(self.scored)


def test_the_scores_are_what_their_definitions_say(noon: World) -> None:
    world = recorded(noon.copy(), 12, c3=90, c5=None, c6=None)
    score(world)
    found, made = rows(world), stored(world)
    candles = world.exchange.truth(BEGIN - timedelta(days=1), world.clock.now())
    assert {row["expert"] for row in found} == {"served", "naive", "unconditional"}
    for market in world.exchange.markets:
        for horizon in HORIZONS:
            by_hand = ByHand(world, made, candles, market, horizon)
            mine = {row["expert"]: row for row in found if (row["market"], row["horizon"]) == (market, horizon)}
            counts = {(row["count"], row["late"], row["missed"], row["holes"]) for row in mine.values()}
            assert counts == {(len(by_hand.scored), 1 if horizon == 1 else 0, 2, 0)}
            if by_hand.scored:
                for name in ("crps", "mae", "pinball_q05", "pinball_q95"):
                    assert mine["served"][name] == pytest.approx(by_hand.mean(name), abs=1e-6), (market, horizon, name)
                assert mine["naive"]["crps"] == mine["naive"]["mae"] == pytest.approx(by_hand.mean("naive"), abs=1e-6)
    assert [row["count"] for row in found if row["horizon"] == 60] == [0] * len(world.exchange.markets)


def test_a_rerun_gives_the_same_rows_and_publishes_nothing(noon: World) -> None:
    world = recorded(noon.copy(), 4)
    assert [made.folder for made in score(world).made] == [f"{world.settings.lake_root}/score/{DAY}/day-1"]
    before = rows(world)
    assert score(world).made == []
    process = world.process()
    process.lake.delete(layout.kind_folder(process.lake.root, "score"))
    assert len(score(world).made) == 1
    assert rows(world) == before
    cycle(world, BEGIN + timedelta(minutes=9, seconds=5))
    assert [made.folder.rsplit("/", 1)[1] for made in score(world).made] == ["day-2"]
    assert [wrong for wrong in broken(world) if "forecasts of" not in wrong] == [], "tables point at what is there"


def test_a_hole_is_not_scored_and_is_counted_until_it_is_filled(noon: World) -> None:
    world = recorded(noon.copy(), 10)
    lake = world.process().lake
    snapshot = ledger.current(lake, "candle", DAY)
    assert snapshot
    lost = ledger.files(lake, snapshot, DAY)[-3]
    content = world.hdfs.files()[lost.path]
    world.hdfs.put(lost.path, b"damaged")
    assert list(world.process().score().troubles) == [lost.path]
    damaged = {(row["market"], row["horizon"]): row for row in rows(world) if row["expert"] == "served"}
    assert sum(row["holes"] for row in damaged.values()) > 0
    world.hdfs.put(lost.path, content)
    score(world)
    whole = {(row["market"], row["horizon"]): row for row in rows(world) if row["expert"] == "served"}
    for key, row in whole.items():
        assert (row["holes"], row["count"]) == (0, damaged[key]["count"] + damaged[key]["holes"])


def closed_day() -> World:
    """A KST day that is over and closed, with forecasts of its last minutes; the next day is an hour old."""
    world = collecting("2026-11-24T14:40:05")
    for minute in range(40, 60, 2):
        cycle(world, utc(f"2026-11-24T14:{minute}:05"))
    for moment in ("15:00:05", "15:14:05", "16:02:05"):
        cycle(world, utc(f"2026-11-24T{moment}"))
        world.process().close()
    return world


def test_a_closed_day_is_scored_once_and_again_after_a_repair(closed: World) -> None:
    world = closed.copy()
    assert {made.day for made in score(world).made} == {DAY, "261125"}
    (source,) = read_files(world.process().lake, SCORE, DAY)
    assert source.name.endswith("_closed.parquet")
    before = rows(world)
    assert all(row["count"] == 10 for row in before), "also those whose target is in the day after"
    cycle(world, utc("2026-11-24T16:04:05"))
    calls = Trace()
    assert {made.day for made in world.process(calls).score().made} == {"261125"}
    read = [call.target for call in calls.calls if call.name == "OPEN"]
    assert not [path for path in read if f"/forecast/{DAY}/" in path or f"/score/{DAY}/" in path]
    lake = world.process().lake
    with lease(lake, layout.day_folder(lake.root, "candle", DAY), world.clock) as held:
        publish.rebuild_snapshot(lake, DAY, "repair", held, complete=True)
    assert DAY in {made.day for made in score(world).made}
    assert rows(world) == before
    assert score(world).made == []


def test_the_day_before_was_recorded_so_its_first_origins_are_missed_in_the_next(closed: World) -> None:
    world = closed.copy()
    score(world)
    first, second = ({row["missed"] for row in rows(world, day)} for day in (DAY, "261125"))
    assert first == {0}, "before its first forecast there was no record"
    (missed,) = second
    assert missed == 30 - 2, "of the first hour's origins 00:00 and 00:14 were made"


def test_forecasts_of_the_release_before_are_no_record_and_are_not_read_again(closed: World) -> None:
    world = closed.copy()
    lake = world.process().lake
    snapshot = ledger.current(lake, "forecast", DAY)
    assert snapshot
    for file in ledger.files(lake, snapshot, DAY):
        table = read_files(lake, FORECAST, DAY)[0].table.drop_columns(["issued_utc"])
        world.hdfs.put(file.path, encode(table))
    score(world)
    (source,) = read_files(lake, SCORE, DAY)
    assert (source.name.endswith("_before.parquet"), source.table.num_rows) == (True, 0)
    assert rows(world, "261125")[0]["missed"] < 30, "the record begins with its own first origin"
    assert DAY not in {made.day for made in score(world).made}


def test_before_any_candle_or_forecast_there_is_nothing_to_do(noon: World) -> None:
    assert World.fresh(BEGIN).process().score() == Scored()
    assert noon.copy().process().score() == Scored()
