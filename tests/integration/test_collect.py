"""Live runs against the replica, on a real HDFS and Hive, with the exchange's clock turned by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.clock import utc
from tests.support.edges import Edge
from tests.support.exchange import Reply, headers_at
from tests.support.world import FINE, World, refusing, with_ticker
from upbit_elt import errors
from upbit_elt.candle import to_table
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.backfill_queue import BackfillQueue
from upbit_elt.lake.parquet import coverage_of, decode, encode
from upbit_elt.warehouse.tables import locations

START = utc(3, 0, 5)
FIRST = utc(3) - timedelta(minutes=200)


@pytest.fixture
def world(edge: Edge, tmp_path: Path) -> Iterator[World]:
    made = World(edge, tmp_path, START)
    yield made
    made.close()


@pytest.mark.daemons
def test_the_first_run_brings_two_hundred_minutes_and_the_next_only_what_closed_since(world: World) -> None:
    first = world.collect()
    assert (first.start, first.end, first.holes) == (FIRST, utc(3), ())
    assert world.in_hive(FIRST, utc(4)) == world.truth(FIRST, utc(3))

    second = world.collect(utc(3, 2, 3))
    assert (second.start, second.end) == (utc(3), utc(3, 2))
    assert second.requested + second.inactive == len(world.markets)
    assert world.in_hive(FIRST, utc(4)) == world.truth(FIRST, utc(3, 2))
    assert [file.file_name for file in second.files] == ["202611240300_202611240302.parquet"]


def test_the_open_minute_waits_until_the_exchange_says_it_is_closed(world: World) -> None:
    world.collect()
    at_the_boundary = world.collect(utc(3, 4, 0))
    assert at_the_boundary.end == utc(3, 4), "the run waited for 03:04:02 of the exchange's clock"
    assert world.clock.now() >= utc(3, 4, 2)
    in_between = world.collect(utc(3, 5, 30))
    assert in_between.end == utc(3, 5)
    assert world.in_hive(FIRST, utc(4)) == world.truth(FIRST, utc(3, 5))


def test_a_run_in_the_same_minute_publishes_nothing(world: World) -> None:
    world.collect()
    again = world.collect(utc(3, 0, 40))
    assert (again.files, again.candles, again.requested) == ((), 0, 0)
    assert world.in_hive(FIRST, utc(4)) == world.truth(FIRST, utc(3))


def test_one_run_fetches_what_five_hours_of_outage_missed(world: World) -> None:
    world.collect()
    before = len(world.wire.candle_requests())
    later = world.collect(utc(8, 0, 5))
    assert later.end == utc(8)
    assert world.in_hive(FIRST, utc(9)) == world.truth(FIRST, utc(8))
    pages = len(world.wire.candle_requests()) - before
    assert pages <= 2 * len(world.markets), "300 minutes are two pages at most"


def test_after_a_long_outage_the_newest_minutes_come_at_once_and_the_backfill_brings_the_rest(world: World) -> None:
    world.collect(utc(3, 0, 5, day=22))
    later = world.collect(START)
    assert later.end == utc(3)
    assert [(file.day, file.file_name) for file in later.files] == [("261124", "202611231500_202611240300.parquet")]
    start, reach = FIRST - timedelta(days=2), utc(15, day=23)
    assert world.in_hive(reach, utc(4)) == world.truth(reach, utc(3))
    for request in BackfillQueue(world.lake).open():
        assert (request.start, request.end) == (utc(3, day=22), reach)
        world.work_off(request)
    assert world.in_hive(start, utc(4)) == world.truth(start, utc(3))


def test_one_response_with_a_wrong_clock_lets_no_open_minute_in(world: World) -> None:
    def early(path: str, query: dict[str, str]) -> Reply | None:
        if path != "/v1/market/all":
            return None
        response = world.wire.app.test_client().get(path, query_string=query)
        ahead = headers_at(world.clock.now() + timedelta(seconds=80))
        return response.status_code, response.data, dict(response.headers) | {"Date": ahead["Date"]}

    world.wire.spoil = early
    assert world.collect(utc(3, 0, 30)).end == utc(3)


@pytest.mark.daemons
def test_a_window_across_korean_midnight_lands_in_both_days(world: World) -> None:
    world.collect(utc(14, 58, 5))
    across = world.collect(utc(15, 2, 5))
    assert [file.day for file in across.files] == ["261124", "261125"]
    assert [file.file_name for file in across.files] == [
        "202611241458_202611241500.parquet",
        "202611241500_202611241502.parquet",
    ]
    start, midnight, end = utc(11, 38), utc(15), utc(15, 2)
    database = world.settings.database
    for day, first, last in (("261124", start, midnight), ("261125", midnight, end)):
        ((count,),) = world.hive.query(f"SELECT count(*) FROM {database}.candle_{day}")
        assert count == len(world.truth(first, last)) > 0
    assert world.in_hive(start, end) == world.truth(start, end)


def test_a_crash_between_the_two_days_leaves_no_hole(world: World) -> None:
    world.collect(utc(14, 58, 5))
    across = world.collect(utc(15, 2, 5))
    world.lake.delete(f"{across.files[1].folder}/{across.files[1].file_name}")
    world.collect(utc(15, 4, 5))
    assert world.in_hive(utc(11, 38), utc(16)) == world.truth(utc(11, 38), utc(15, 4))


def test_one_failing_market_is_a_hole_with_a_reason_until_the_next_run(world: World) -> None:
    world.collect()
    bad = world.busiest(utc(3), utc(3, 2))
    world.wire.spoil = refusing(world, bad)
    holed = world.collect(utc(3, 2, 5))
    assert len(holed.holes) == 1
    assert holed.holes[0].startswith(f"{bad}: server_trouble")
    known = world.newest
    assert known.watermark[bad] == utc(3)
    assert {known.watermark[market] for market in world.markets if market != bad} == {utc(3, 2)}

    world.wire.spoil = FINE
    assert world.collect(utc(3, 4, 5)).holes == ()
    assert world.in_hive(FIRST, utc(4)) == world.truth(FIRST, utc(3, 4))


def test_a_hole_before_midnight_is_filled_after_it(world: World) -> None:
    world.collect(utc(14, 56, 5))
    bad = world.busiest(utc(14, 56), utc(15))
    world.wire.spoil = refusing(world, bad)
    assert len(world.collect(utc(15, 0, 5)).holes) == 1
    still = world.collect(utc(15, 2, 5))
    assert [file.day for file in still.files] == ["261125"], "nothing new is known of the day that is over"
    world.wire.spoil = FINE
    later = world.collect(utc(15, 4, 5))
    assert [file.day for file in later.files] == ["261124", "261125"]
    assert later.holes == ()
    assert world.in_hive(utc(11, 36), utc(16)) == world.truth(utc(11, 36), utc(15, 4))
    assert world.compare(utc(11, 36), utc(15, 4)).equal


def test_a_hole_is_filled_by_a_rerun_in_the_same_minute(world: World) -> None:
    bad = world.busiest(FIRST, utc(3))
    world.wire.spoil = lambda path, query: (
        (500, "oops", headers_at(world.clock.now())) if query.get("market") == bad else None
    )
    assert len(world.collect().holes) == 1
    assert len(world.collect(utc(3, 0, 30)).holes) == 1, "a rerun that learns nothing changes nothing"
    world.wire.spoil = FINE
    assert world.collect(utc(3, 0, 40)).holes == ()
    assert world.in_hive(FIRST, utc(4)) == world.truth(FIRST, utc(3))


def test_nothing_is_published_while_the_exchange_is_away(world: World) -> None:
    world.wire.spoil = lambda path, query: (503, "maintenance", headers_at(world.clock.now()))
    with pytest.raises(errors.ServerTrouble):
        world.collect()
    assert ledger.live_coverage(world.lake) is None
    world.wire.spoil = FINE
    world.collect()
    assert world.in_hive(FIRST, utc(4)) == world.truth(FIRST, utc(3))


@pytest.mark.daemons
def test_a_candle_missed_by_a_stale_ticker_is_repaired_by_the_next_run(world: World) -> None:
    world.collect()
    active = world.busiest(utc(3), utc(3, 4))
    old = int(utc(2).timestamp() * 1000)
    world.wire.spoil = with_ticker(world.wire.app, active, trade_timestamp=old)
    assert world.collect(utc(3, 2, 5)).inactive >= 1
    missing = [c for c in world.truth(utc(3), utc(3, 2)) if c.market == active]
    assert missing, "the market traded, so skipping it lost candles"
    assert world.compare(utc(3), utc(3, 2)).lost == len(missing)

    world.wire.spoil = FINE
    assert world.collect(utc(3, 4, 5)).repaired == len(missing)
    assert world.in_hive(FIRST, utc(4)) == world.truth(FIRST, utc(3, 4))
    assert locations(world.hive, world.settings, "candle", ["261124"])["261124"].endswith("/live-2")


@pytest.mark.daemons
def test_the_comparison_sees_a_planted_loss_double_and_alteration(world: World) -> None:
    world.collect()
    second = world.collect(utc(3, 2, 5))
    third = world.collect(utc(3, 4, 5))
    clean = world.compare(FIRST, utc(3, 4))
    assert clean.equal
    assert clean.compared == len(world.truth(FIRST, utc(3, 4)))

    folder = second.files[0].folder
    path = f"{folder}/{second.files[0].file_name}"
    data = world.lake.read(path)
    table = decode(data, path)
    assert table.num_rows > 1
    world.lake.publish(f"{folder}/202611240300_202611240303.parquet", data)
    assert world.compare(FIRST, utc(3, 4)).doubled == table.num_rows
    world.lake.delete(f"{folder}/202611240300_202611240303.parquet")

    prices = table.column("trade_price").to_pylist()
    changed = table.set_column(6, "trade_price", [[prices[0] * 2, *prices[1:]]])
    world.lake.delete(path)
    world.lake.publish(path, encode(changed, coverage_of(data, path)))
    assert world.compare(FIRST, utc(3, 4)).altered == 1

    world.lake.delete(path)
    world.lake.publish(path, encode(to_table([]), coverage_of(data, path)))
    found = world.compare(FIRST, utc(3, 4))
    assert (found.lost, found.doubled, found.altered) == (table.num_rows, 0, 0)
    assert not found.equal
    assert third.candles > 0


def test_a_hidden_half_written_file_is_seen_by_nobody(world: World) -> None:
    first = world.collect()
    folder = layout.live_folder(world.lake.root, "candle", "261124", 1)
    world.lake.create(f"{folder}/_202611240300_202611240302.parquet.dead", b"half a file")
    assert world.in_hive(FIRST, utc(4)) == world.truth(FIRST, utc(3))
    assert world.collect(utc(3, 2, 5)).start == first.end
