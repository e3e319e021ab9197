"""A live run ends in time whatever the exchange does; what it could not bring is named and brought by others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from tests.support.clock import utc
from tests.support.exchange import Reply, headers_at
from tests.support.world import FINE, TIMEOUT, MemoryWorld, Spoil
from upbit_elt.collect.collector import FETCH_SECONDS
from upbit_elt.errors import ServerTrouble
from upbit_elt.holes import HoleReason

START = utc(3, 0, 5)
FIRST = utc(3) - timedelta(minutes=200)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[MemoryWorld]:
    made = MemoryWorld(tmp_path, START)
    yield made
    made.client.close()


def hanging(world: MemoryWorld, *markets: str, endpoint: str = "/candles/") -> Spoil:
    """No answer within the timeout to requests of an endpoint (and of some markets)."""

    def spoil(path: str, query: dict[str, str]) -> Reply | None:
        if endpoint not in path or (markets and query.get("market") not in markets):
            return None
        world.clock.sleep(10)
        raise requests.ReadTimeout("no answer")

    return spoil


def seconds(world: MemoryWorld) -> float:
    return (world.clock.now() - START.replace(minute=2)).total_seconds()


def test_a_run_ends_in_time_when_the_candle_endpoint_hangs_and_the_next_one_brings_all(world: MemoryWorld) -> None:
    world.collect()
    world.wire.spoil = hanging(world)
    collected = world.collect(utc(3, 2, 5))
    assert seconds(world) < FETCH_SECONDS + TIMEOUT
    assert collected.candles == 0
    assert collected.outage.startswith(f"none of {collected.requested} requests for candles was answered (")
    wanted = {span.market for span in world.newest.holes()}
    assert len(wanted) == collected.requested > 2
    assert {span.reason for span in world.newest.holes()} <= {
        HoleReason.UNREACHABLE, HoleReason.ENDPOINT_DOWN, HoleReason.OUT_OF_TIME,
    }  # fmt: skip
    assert all(world.newest.watermark[market] == utc(3) for market in wanted)
    world.wire.spoil = FINE
    later = world.collect(utc(3, 4, 5))
    assert (later.holes, later.outage) == ((), "")
    assert world.stored(FIRST, utc(4)) == world.truth(FIRST, utc(3, 4))


def test_the_others_are_published_when_some_markets_hang(world: MemoryWorld) -> None:
    world.collect()
    bad = world.busiest(utc(3), utc(3, 2))
    world.wire.spoil = hanging(world, bad)
    assert world.collect(utc(3, 2, 5)).outage == ""
    assert {span.market for span in world.newest.holes()} == {bad}
    assert world.stored(FIRST, utc(4)) == [
        c for c in world.truth(FIRST, utc(3, 2)) if c.market != bad or c.start < utc(3)
    ]
    before = len(world.wire.requests)
    world.collect(utc(3, 4, 5))
    wanted = [
        str(r.url).split("market=")[1].split("&")[0] for r in world.wire.requests[before:] if "market=" in str(r.url)
    ]
    assert wanted.index(bad) >= len(set(wanted)) - 2, "a market that failed the last time is requested last"
    world.wire.spoil = FINE
    world.collect(utc(3, 6, 5))
    assert world.stored(FIRST, utc(4)) == world.truth(FIRST, utc(3, 6))


@pytest.mark.parametrize("endpoint", ["/ticker/all", "/market/all"])
def test_a_listing_that_hangs_stops_no_candle(world: MemoryWorld, endpoint: str) -> None:
    world.collect()
    world.wire.spoil = hanging(world, endpoint=endpoint)
    collected = world.collect(utc(3, 2, 5))
    assert collected.markets == len(world.markets)
    assert seconds(world) < FETCH_SECONDS + TIMEOUT
    assert world.stored(FIRST, utc(4)) == world.truth(FIRST, utc(3, 2))


def test_an_exchange_that_answers_no_request_is_an_error(world: MemoryWorld) -> None:
    world.collect()
    world.wire.spoil = lambda path, query: (503, "maintenance", headers_at(world.clock.now()))
    files = world.hdfs.files()
    with pytest.raises(ServerTrouble):
        world.collect(utc(3, 2, 5))
    assert world.hdfs.files() == files


def test_a_market_that_comes_back_leaves_its_past_to_the_backfill(tmp_path: Path) -> None:
    world = MemoryWorld(tmp_path, START, markets=3)
    back = world.busiest(FIRST, utc(3))
    gone, again = utc(3), utc(3) + timedelta(hours=30)
    world.collect()
    world.faults.delisted = {back: gone}
    world.collect(again + timedelta(seconds=5) - timedelta(minutes=2))
    world.fill_history()
    before = world.snapshots()
    world.faults.delisted = {}
    spent = len(world.wire.candle_requests())
    collected = world.collect(again + timedelta(seconds=5))
    assert len(world.wire.candle_requests()) - spent <= 20
    changed = {day for day, count in world.snapshots().items() if before.get(day) != count}
    assert len(changed) <= 2, "closed days get no new snapshot by a live run"
    assert world.newest.watermark[back] == again
    assert any("left_to_backfill" in hole for hole in collected.holes)
    (request,) = world.queue.open()
    assert (request.start, request.markets) == (gone, (back,))
    world.collect(again + timedelta(seconds=40), run_id="retried")
    assert world.queue.open() == [request]

    world.fill_history()
    assert world.queue.open() == []
    assert world.stored(gone, again) == world.truth(gone, again)
    world.collect(again + timedelta(minutes=2, seconds=5))
    assert [recheck for recheck in world.newest.rechecks or () if recheck.state == "left"] == []
    world.client.close()
