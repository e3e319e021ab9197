"""Old days of forecasts go from Hive and from the lake, whatever happens at any call; nothing else goes.

`UPBIT_SIM_THIN=1` tries every fault at every call; without it, one fault at some of the calls.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest

from tests.support.calls import every_case
from tests.support.edge import Killed
from tests.support.invariants import broken, seen
from tests.support.scenes import open_day
from tests.support.simulation import MARKETS, Trace, World, determined, forecast_of, utc
from upbit_elt.candle import kst_day
from upbit_elt.errors import UpbitEltError
from upbit_elt.forecast import store
from upbit_elt.forecast.schema import HORIZONS
from upbit_elt.lake import layout, ledger, pending
from upbit_elt.lake.lease import lease
from upbit_elt.warehouse import tables

THIN = int(os.environ.get("UPBIT_SIM_THIN", "15"))
OLD, STAYS, TODAY = "261121", "261123", "261124"
ORIGINS = ("2026-11-20T16:00:00", "2026-11-20T16:02:00", "2026-11-23T02:00:00", "2026-11-24T02:00:00")
FULL = 2 * len(MARKETS) * len(HORIZONS)  # rows of the old day
DAY_LATER = timedelta(hours=25)


def with_forecasts(keep: int = 1) -> World:
    """An open day, with forecasts of three days; of those before the newest `keep` are kept."""
    world = open_day()
    for origin in map(utc, ORIGINS):
        world.forecasts.add(origin)
        process = world.process()
        table = forecast_of(origin, world.exchange.markets)
        store.store(process.lake, process.hive, world.settings, table, world.clock)
    world.settings = world.settings.model_copy(update={"keep_forecast_days": keep})
    return world


def hidden() -> World:
    """As `with_forecasts`, a day after Hive was made to show the old day no more."""
    world = with_forecasts()
    assert world.process().housekeeping() == {}
    return world.at(world.clock.now() + DAY_LATER)


def rows(world: World, day: str) -> int:
    """Rows of a day that a reader of Hive gets, of the table and of the partition alike; 0 where nothing is shown."""
    process, database = world.process(), world.settings.database
    there = tables.days(process.hive, world.settings, "forecast")
    whole = f"SELECT * FROM {database}.forecast WHERE dt = '{tables.partition(day)}'"
    counts = {len(process.hive.query(whole))} if day in there else set()
    if process.hive.query(f"SHOW TABLES IN {database} LIKE 'forecast_{day}'"):
        counts |= {len(process.hive.query(f"SELECT * FROM {database}.forecast_{day}"))}
    assert len(counts) <= 1, f"table and partition of {day} show {counts} rows"
    return counts.pop() if counts else 0


def assert_gone(world: World) -> None:
    """Some nights later the old day is nowhere, and everything else is as it should be."""
    for _ in range(4):
        world.at(world.clock.now() + DAY_LATER)
        assert world.process().housekeeping() == {}
    lake = world.process().lake
    assert ledger.days(lake, "forecast") == [STAYS, TODAY]
    assert not tables.is_visible(world.process().hive, world.settings, "forecast", OLD)
    assert [entry for entry in pending.listing(lake) if entry.day == OLD and entry.kind == "forecast"] == []
    assert (rows(world, STAYS), rows(world, TODAY) > 0) == (FULL // 2, True)
    assert list(broken(world)) == []


@pytest.mark.parametrize("make", [with_forecasts, hidden], ids=["hides", "removes"])
def test_whatever_happens_at_a_call_no_reader_sees_half_a_day_and_later_runs_finish(
    make: Callable[[], World],
) -> None:
    with determined(1):
        world = make()
        trace, cases, wrong = Trace(), 0, list[str]()
        world.copy().process(trace).housekeeping()
        for place, fault in every_case(trace.calls, THIN):
            cases += 1
            here = world.copy()
            before = seen(here)
            with suppress(Killed, UpbitEltError):
                here.process(Trace(place, fault)).housekeeping()
            try:
                assert rows(here, OLD) in (0, FULL)
                assert_gone(here)
                assert seen(here) == before, "candles"
            except AssertionError as error:
                wrong.append(f"{fault.name} at call {place}, {trace.calls[place]}: {error}")
    print(f"{len(trace.calls)} calls, {cases} cases")
    assert not wrong, "\n".join(wrong[:5])


def test_a_day_is_hidden_first_and_its_files_stay_as_long_as_a_query_may_read_them() -> None:
    with determined(1):
        world = with_forecasts()
        lake, clock = world.process().lake, world.clock
        assert rows(world, OLD) == FULL
        world.process().housekeeping()
        assert rows(world, OLD) == 0
        world.at(clock.now() + timedelta(hours=23)).process().housekeeping()
        assert ledger.days(lake, "forecast") == [OLD, STAYS, TODAY]
        assert rows(world, OLD) == 0, "the check of all days does not register it again"
        world.at(clock.now() + timedelta(hours=2)).process().housekeeping()
        assert ledger.days(lake, "forecast") == [STAYS, TODAY]
        assert_gone(world)


def test_a_day_that_somebody_writes_waits_and_one_to_be_kept_after_all_comes_back() -> None:
    with determined(1):
        world = hidden()
        lake = world.process().lake
        with lease(lake, layout.day_folder(lake.root, "forecast", OLD), world.clock):
            assert world.process().housekeeping() == {}
            assert OLD in ledger.days(lake, "forecast")
        for keep in (0, 3):
            world.settings = world.settings.model_copy(update={"keep_forecast_days": keep})
            for _ in range(2):  # it checks all days first, and then what is old
                world.process().housekeeping()
            assert rows(world, OLD) == FULL
            assert list(broken(world)) == []


def test_an_expiring_day_that_hive_shows_again_is_hidden_again_and_gets_a_new_grace() -> None:
    with determined(1):
        world = hidden()
        process = world.process()
        process.close()
        assert rows(world, OLD) == 0, "the close leaves out a day that expires"
        current = ledger.current(process.lake, "forecast", OLD)
        assert current
        tables.ensure_day(process.hive, world.settings, "forecast", OLD, current.path)
        world.process().housekeeping()
        assert rows(world, OLD) == 0
        assert OLD in ledger.days(process.lake, "forecast")
        assert_gone(world)


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(days=400)])
def test_forecasts_expire_by_the_newest_day_whatever_the_clock_says(ahead: timedelta) -> None:
    with determined(1):
        world = with_forecasts(keep=3)
        world.at(world.clock.now() + ahead)
        assert kst_day(world.clock.now()) != STAYS
        for _ in range(3):
            world.process().housekeeping()
            world.at(world.clock.now() + DAY_LATER)
        assert ledger.days(world.process().lake, "forecast") == [OLD, STAYS, TODAY]
