"""Requests for history, beside live runs, on a real HDFS and Hive."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.clock import utc
from tests.support.edges import Edge
from tests.support.exchange import Reply, headers_at
from tests.support.world import FINE, World
from upbit_elt.backfill.planner import Backfill
from upbit_elt.backfill.time_budget import TimeBudget
from upbit_elt.backfill.worker import WorkProgress
from upbit_elt.candle import day_end, day_start, kst_day
from upbit_elt.collect.collected import Collected
from upbit_elt.errors import UnknownMarket
from upbit_elt.holes import HoleReason
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.backfill_queue import PASSES, BackfillQueue, check_markets
from upbit_elt.lake.lease import Lease
from upbit_elt.lake.read import read_sources
from upbit_elt.warehouse.tables import days

NOW = utc(3, 30, 5)
# The KST days 261120 and 261121, before anything that live runs bring.
FIRST, END = utc(15, day=19), utc(15, day=21)


@pytest.fixture
def world(edge: Edge, tmp_path: Path) -> Iterator[World]:
    made = World(edge, tmp_path, NOW, markets=5, history_days=0)
    yield made
    made.close()


def test_a_request_is_worked_off_behind_the_live_runs_in_many_short_runs(world: World) -> None:
    world.collect()
    world.request(FIRST, END)
    runs = 0
    while open_requests := world.fill_history(world.clock.now() + timedelta(seconds=2), chunk=16).requests:
        assert open_requests[0].start == FIRST
        runs += 1
    assert runs > 2
    (request,) = BackfillQueue(world.lake).all()
    truth = world.truth(FIRST, END)
    assert (request.done is not None, request.candles) == (True, len(truth))
    assert world.in_hive(FIRST, END) == truth
    assert {ledger.current(world.lake, "candle", day).complete for day in ("261120", "261121")} == {True}  # type: ignore[union-attr]


def test_live_runs_go_between_the_chunks_of_a_request(world: World) -> None:
    world.collect()
    lives: list[Collected] = []

    def live_now_and_then(progress: WorkProgress) -> None:
        if progress.candles > 700 * (len(lives) + 1) and len(lives) < 3:
            lives.append(world.collect(NOW + timedelta(minutes=2 * len(lives) + 2)))

    request = world.request(FIRST - timedelta(days=2), END)
    time_budget = TimeBudget(world.lake, world.clock, patient=True)
    done = world.history(chunk=24, on_progress=live_now_and_then).work("test", request, time_budget)
    assert done is not None
    assert len(lives) == 3
    assert [live.end for live in lives] == [utc(3, 32), utc(3, 34), utc(3, 36)]
    assert world.in_hive(request.start, END) == world.truth(request.start, END)
    assert world.compare(lives[0].start, lives[-1].end).equal


def test_a_live_run_that_begins_in_mid_chunk_has_the_exchange_to_itself(world: World) -> None:
    world.collect()
    request = world.request(FIRST - timedelta(days=1), END)
    live = Lease(world.lake, f"{layout.kind_folder(world.lake.root, 'candle')}/_lease", world.clock)
    before: list[int] = []

    def begin(progress: WorkProgress) -> None:
        if progress.candles > 400 and not before:
            live.acquire(timedelta(0))
            before.append(len(world.wire.candle_requests()))

    time_budget = TimeBudget(world.lake, world.clock, patient=False)
    stopped = world.history(on_progress=begin).work("test", request, time_budget)
    assert stopped is not None
    assert not stopped.done, "there is work left"
    assert len(world.wire.candle_requests()) - before[0] < 30, "only what was under way was finished"
    live.release()
    world.fill_history(world.clock.now() + timedelta(hours=1))
    assert world.in_hive(FIRST, END) == world.truth(FIRST, END)


def test_chosen_markets_are_added_to_a_complete_day_as_a_new_snapshot(world: World) -> None:
    late, *others = world.markets
    done = world.work_off(world.request(FIRST, END, *others))
    assert done is not None
    assert world.in_hive(FIRST, END) == [c for c in world.truth(FIRST, END) if c.market != late]
    before = ledger.current(world.lake, "candle", "261120")
    assert before is not None
    assert not before.complete, "a day without one of the collected markets is not whole"

    world.work_off(world.request(FIRST, END, late))
    assert world.in_hive(FIRST, END) == world.truth(FIRST, END)
    whole = ledger.current(world.lake, "candle", "261120")
    assert whole is not None
    assert whole.complete
    sent = len(world.wire.candle_requests())
    again = world.work_off(replace(world.request(FIRST, END, late), at=END, done=None))
    assert again is not None
    assert len(world.wire.candle_requests()) == sent, "what is known is not requested again"
    assert ledger.current(world.lake, "candle", "261120") == whole


def test_a_market_ends_at_its_first_candle_and_the_coverage_says_so(world: World) -> None:
    listed = {market.code: market.listed for market in world.source.markets() if market.listed < NOW}
    old, late = min(listed, key=lambda m: listed[m]), max(listed, key=lambda m: listed[m])
    first_day = kst_day(listed[late])
    start = day_start(first_day) - timedelta(days=3)
    end = day_end(first_day) + timedelta(days=1)
    done = world.work_off(world.request(start, end, old, late))
    assert done is not None
    assert done.nothing_before.keys() == {late}
    before = kst_day(day_start(first_day) - timedelta(hours=1))
    spans = {span for coverage in read_sources(world.lake, before)[1] for span in coverage.spans}
    assert {(s.market, s.state, s.reason) for s in spans} == {
        (old, "asked", HoleReason.NONE),
        (late, "asked", HoleReason.NOT_LISTED),
    }

    sent = len(world.wire.candle_requests())
    alone = world.work_off(world.request(start - timedelta(days=2000), start, late))
    assert alone is not None
    assert alone.done
    assert len(world.wire.candle_requests()) - sent < 200, "2000 days of nothing cost no request each"
    assert kst_day(start - timedelta(hours=1)) not in days(world.hive, world.settings, "candle"), "no table of nothing"


def test_an_unknown_market_is_refused_with_what_to_do(world: World) -> None:
    with pytest.raises(UnknownMarket, match=r"KRW-NOPE: not listed .* /v1/market/all|KRW-NOPE: not listed"):
        check_markets(world.client, [world.markets[0], "KRW-NOPE"])


def test_a_request_that_is_cancelled_ends_at_once_and_keeps_what_came(world: World) -> None:
    request = world.request(FIRST, END)

    def cancel(progress: WorkProgress) -> None:
        if progress.candles > 3000 and BackfillQueue(world.lake).open():
            BackfillQueue(world.lake).cancel(request.id)

    time_budget = TimeBudget(world.lake, world.clock, patient=True)
    assert world.history(chunk=24, on_progress=cancel).work("test", request, time_budget) is None
    assert BackfillQueue(world.lake).all() == []
    assert world.fill_history(world.clock.now() + timedelta(minutes=1)).candles == 0


def test_an_exchange_that_is_out_costs_a_request_nothing(world: World) -> None:
    request = world.request(FIRST, END)

    def out(path: str, query: dict[str, str]) -> Reply | None:
        return (503, "maintenance", headers_at(world.clock.now())) if "/candles/" in path else None

    world.wire.spoil = out
    for _ in range(PASSES + 1):
        world.fill_history(world.clock.now() + timedelta(minutes=1))
    (still,) = BackfillQueue(world.lake).open()
    assert (still.at, still.passes, still.left) == (END, 0, ())
    world.wire.spoil = FINE
    world.work_off(request)
    assert world.in_hive(FIRST, END) == world.truth(FIRST, END)


def test_a_market_whose_requests_all_fail_becomes_a_hole_with_its_reason(world: World) -> None:
    bad = world.busiest(FIRST, END)

    def garbage(path: str, query: dict[str, str]) -> Reply | None:
        return (200, "<html>", headers_at(world.clock.now())) if query.get("market") == bad else None

    world.wire.spoil = garbage
    done = world.work_off(world.request(FIRST, END))
    assert done is not None
    assert (done.done is not None, done.left) == (True, ("261120", "261121"))
    holes = [hole for coverage in read_sources(world.lake, "261120")[1] for hole in coverage.holes()]
    assert {hole.market for hole in holes} == {bad}
    assert all(hole.reason is HoleReason.GARBLED for hole in holes)
    assert world.in_hive(FIRST, END) == [c for c in world.truth(FIRST, END) if c.market != bad]

    world.wire.spoil = FINE
    world.work_off(world.request(FIRST, END))
    assert world.in_hive(FIRST, END) == world.truth(FIRST, END), "requested again, the hole is filled"


@pytest.mark.daemons  # a lake in memory would be weighed as well
def test_a_long_span_does_not_gather_in_memory(world: World) -> None:
    start = END - timedelta(days=40)
    sizes: dict[datetime, int] = {}

    def weigh(progress: WorkProgress) -> None:
        sizes[world.clock.now()] = tracemalloc.get_traced_memory()[0]

    thin = min(world.markets, key=lambda market: len([c for c in world.truth(FIRST, END) if c.market == market]))
    request = world.request(start, END, thin)
    backfill = Backfill(world.client, world.lake, world.settings, world.clock, on_progress=weigh, chunk=64)
    tracemalloc.start()
    try:
        done = backfill.work("test", request, TimeBudget(world.lake, world.clock, patient=True))
    finally:
        tracemalloc.stop()
    assert done is not None
    assert done.candles == len([c for c in world.truth(start, END) if c.market == thin])
    order = [sizes[moment] for moment in sorted(sizes)]
    third = len(order) // 3
    assert max(order[-third:]) < max(order[:third]) + 3_000_000
