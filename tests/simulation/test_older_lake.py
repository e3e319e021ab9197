"""A lake written by the release before is read and gone on with: nothing of it is lost, all of it is made right.

`tests/data/lake-5d3dedb.zip` was written by the code of commit 5d3dedb, run over the HDFS, Hive and exchange in memory
of this folder (4 markets, the clock turned by hand). It holds two closed and proven KST days with their older
snapshots (261122, 261123) and one that history brought (261121), a day of which only an old pipeline's file was adopted
and whose other hours wait in `_backfill` for an open request (261120), a request that is done, and the open day
261124: window files whose holes were filled since (a ban, a server in trouble), a compacted snapshot that was not
registered (`_unshown-live-2`), quarantined rows, and holes that are still there: a bad row, a late row, a market
that the exchange did not know for a while, and a ban. Forecasts of both days, one of them closed.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.calls import try_every_call
from tests.support.invariants import assert_right, broken
from tests.support.old_lake import load
from tests.support.simulation import World, determined, utc
from upbit_elt.candle import from_table
from upbit_elt.holes import HoleReason
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.backfill_queue import BackfillQueue
from upbit_elt.lake.read import read_sources
from upbit_elt.quality import results

ORIGINS = ("2026-11-23T07:02:00", "2026-11-23T14:50:00", "2026-11-23T19:02:00", "2026-11-24T00:22:00")


@pytest.fixture
def world() -> World:
    made = load("lake-5d3dedb", begin="2026-11-19T15:00:00")
    made.forecasts = {utc(origin) for origin in ORIGINS}
    return made


def test_an_older_lake_is_read_as_it_was_meant(world: World) -> None:
    lake = world.process().lake
    newest = ledger.live_coverage(lake)
    assert newest
    assert newest.end == utc("2026-11-24T00:22:00")
    assert {(hole.market, hole.reason) for hole in newest.holes()} == {
        ("KRW-AAA", HoleReason.QUARANTINED_ROW),
        ("KRW-BBB", HoleReason.BANNED),
        ("KRW-CCC", HoleReason.DELISTED),
        ("KRW-DDD", HoleReason.LATE_ROW),
    }
    assert {recheck.state for recheck in newest.rechecks or ()} == {"quiet", "hole"}
    assert [results.state_of(lake, day)[0] for day in ("261121", "261122", "261123", "261124")] == [
        "proven",
        "proven",
        "proven",
        "open",
    ]
    assert [request.by for request in BackfillQueue(lake).open()] == ["manual__open"]


def test_an_older_lake_is_continued_and_becomes_complete(world: World) -> None:
    lake = world.process().lake
    before = {
        day: {candle for table in read_sources(lake, day)[0] for candle in from_table(table)}
        for day in ledger.days(lake, "candle")
    }
    with determined(1):
        world.at(utc("2026-11-24T00:40:05"))
        assert_right(world)
        assert BackfillQueue(lake).open() == []
        world.at(utc("2026-11-24T15:10:05")).process().live()
        assert_right(world.at(utc("2026-11-24T15:40:05")))
        world.process().prove()
    assert list(broken(world)) == []
    for day, candles in before.items():
        after = {candle for table in read_sources(lake, day)[0] for candle in from_table(table)}
        assert candles <= after, f"{day} has lost {candles - after}"
    assert results.state_of(lake, "261124")[0] == "proven"
    assert not [path for path in world.hdfs.files() if layout.UNREGISTERED in path]


def test_an_older_lake_stays_correct_whenever_the_first_run_of_the_new_release_dies(world: World) -> None:
    with determined(1):
        found = try_every_call(world.at(world.clock.now() + timedelta(minutes=20)), lambda process: process.live(), 24)
    assert not found.broken, "\n".join(found.broken[:3])
