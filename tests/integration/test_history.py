"""Older history behind the live runs, on a real HDFS and Hive."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.clock import utc
from tests.support.edges import Edge
from tests.support.exchange import NOT_FOUND
from tests.support.world import FINE, World, refusing, unlisted, with_ticker, without
from upbit_elt.candle import MINUTE
from upbit_elt.lake import layout
from upbit_elt.lake.lease import lease
from upbit_elt.warehouse.tables import locations

# 12:30 KST: today's beginning and one whole day before it are wanted.
NOW = utc(3, 30, 5)
YESTERDAY, TODAY = utc(15, day=22), utc(15, day=23)
LATER = NOW + timedelta(hours=2)


@pytest.fixture
def world(edge: Edge, tmp_path: Path) -> Iterator[World]:
    made = World(edge, tmp_path, NOW, markets=5, history_days=1)
    yield made
    made.close()


@pytest.mark.daemons
def test_history_follows_behind_the_live_runs_without_a_candle_lost_or_doubled(world: World) -> None:
    live = world.collect()
    progress = world.fill_history(LATER)
    assert progress.left == ()
    assert [item.day for item in progress.published] == ["261124", "261123"], "newest day first"
    assert world.in_hive(YESTERDAY, utc(4)) == world.truth(YESTERDAY, live.end)

    after = world.collect(utc(4, 10, 5))
    assert after.start == live.end
    assert world.in_hive(YESTERDAY, utc(5)) == world.truth(YESTERDAY, utc(4, 10))
    shown = locations(world.hive, world.settings, "candle", ["261124", "261123"])
    assert shown["261124"].endswith("/live-2"), "the open day goes on in its new snapshot"
    assert shown["261123"].endswith("/day-1")
    assert world.compare(YESTERDAY, utc(4, 10)).equal
    assert world.fill_history(LATER).candles == 0, "there is nothing left to do"


def test_history_stops_before_the_next_live_run_and_goes_on_later(world: World) -> None:
    world.collect()
    short = world.fill_history(world.clock.now() + timedelta(seconds=0.5), chunk=6)
    assert short.candles > 0
    assert short.published == ()
    assert short.left == ("261124", "261123")
    staged = world.lake.list(layout.backfill_folder(world.lake.root, "261124"))
    assert staged
    assert world.in_hive(TODAY, utc(4)) == world.truth(NOW - timedelta(minutes=200, seconds=5), utc(3, 30))

    assert world.fill_history(LATER).left == ()
    assert world.in_hive(YESTERDAY, utc(4)) == world.truth(YESTERDAY, utc(3, 30))
    assert world.lake.list(layout.backfill_folder(world.lake.root, "261124")) == []


def test_history_gives_way_to_a_live_run(world: World) -> None:
    world.collect()
    with lease(world.lake, layout.kind_folder(world.lake.root, "candle"), world.clock):
        assert world.fill_history(LATER, patient=False).candles == 0


def test_a_market_out_of_reach_leaves_its_day_open_and_the_others_staged(world: World) -> None:
    world.collect()
    bad = world.busiest(YESTERDAY, NOW)
    world.wire.spoil = refusing(world, bad)
    progress = world.fill_history(LATER)
    assert progress.left == ("261124", "261123")
    assert progress.candles > 0
    world.wire.spoil = FINE
    assert world.fill_history(LATER).left == ()
    assert world.in_hive(YESTERDAY, utc(4)) == world.truth(YESTERDAY, utc(3, 30))


def test_a_delisted_market_is_a_hole_with_the_exchanges_words(world: World) -> None:
    world.collect()
    bad = world.busiest(YESTERDAY, NOW)
    world.wire.spoil = without(world, bad)
    assert world.fill_history(LATER).left == ()
    known = world.newest
    holes = {span.market: span.detail for span in known.holes()}
    assert holes.keys() == {bad}
    assert "Code not found" in holes[bad]
    assert known.watermark[bad] == utc(3, 30), "the live runs of the market are not touched"


def test_a_market_that_is_listed_but_unknown_to_the_exchange_is_requested_again(world: World) -> None:
    world.collect()
    bad = world.busiest(YESTERDAY, NOW)
    world.wire.spoil = refusing(world, bad, status=404, body=NOT_FOUND)
    assert world.fill_history(LATER).left == ("261124", "261123")
    world.wire.spoil = FINE
    assert world.fill_history(LATER).left == ()
    assert world.in_hive(YESTERDAY, utc(4)) == world.truth(YESTERDAY, utc(3, 30))


def test_a_response_that_is_not_json_is_requested_again_and_never_a_permanent_hole(world: World) -> None:
    world.collect()
    bad = world.busiest(YESTERDAY, NOW)
    world.wire.spoil = refusing(world, bad, status=200, body="<html>maintenance</html>")
    assert world.fill_history(LATER).left == ("261124", "261123")
    world.wire.spoil = FINE
    assert world.fill_history(LATER).left == ()
    assert world.in_hive(YESTERDAY, utc(4)) == world.truth(YESTERDAY, utc(3, 30))


def test_a_repair_on_the_first_day_does_not_end_its_history(world: World) -> None:
    world.collect()
    active = world.busiest(utc(3, 30), utc(3, 32))
    world.wire.spoil = with_ticker(world.wire.app, active, trade_timestamp=int(utc(2).timestamp() * 1000))
    world.collect(utc(3, 32, 5))
    world.wire.spoil = FINE
    assert world.collect(utc(3, 34, 5)).repaired > 0
    assert world.fill_history(LATER).left == ()
    assert world.in_hive(YESTERDAY, utc(4)) == world.truth(YESTERDAY, utc(3, 34))


def test_a_market_that_is_collected_later_gets_its_history_too(world: World) -> None:
    late = world.busiest(YESTERDAY, NOW)
    world.wire.spoil = unlisted(world.wire.app, late)
    world.collect()
    assert world.fill_history(LATER).left == ()
    assert late not in {candle.market for candle in world.in_hive(YESTERDAY, utc(4))}
    world.wire.spoil = FINE
    world.collect(utc(3, 32, 5))
    assert world.fill_history(LATER).left == ()
    assert world.in_hive(YESTERDAY, utc(4)) == world.truth(YESTERDAY, utc(3, 32))


def test_a_live_run_does_not_double_history_that_was_there_first(edge: Edge, tmp_path: Path) -> None:
    world = World(edge, tmp_path, NOW, markets=5, first_minutes=200)
    try:
        start = NOW.replace(minute=0, second=0) - timedelta(hours=6)
        world.work_off(world.request(start, NOW))
        world.collect(NOW + 2 * MINUTE)
        world.collect(NOW + 4 * MINUTE)
        end = (NOW + 4 * MINUTE).replace(second=0)
        assert world.in_hive(start, end) == world.truth(start, end)
    finally:
        world.close()
