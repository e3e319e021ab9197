"""Everything stopped for hours or days: one run brings the newest minutes, with few requests and in flat memory."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.clock import ManualClock, utc
from tests.support.edges import DaemonEdge
from tests.support.machine import Machine
from tests.support.worker import Job, collect_once, served, spawn
from tests.support.world import World
from upbit_elt.collect.reach import reach_of
from upbit_elt.lake.backfill_queue import BackfillQueue
from upbit_elt.replica import truth

START = utc(3, 0, 5, day=12)


@pytest.fixture
def make(machine: Machine, tmp_path: Path) -> Iterator[Callable[[int], World]]:
    """Makes worlds of so many markets."""
    with ExitStack() as made:

        def one(markets: int) -> World:
            world = World(DaemonEdge(machine.settings), tmp_path / "state", START, markets)
            made.callback(world.close)
            return world

        yield one


def test_one_run_fetches_what_five_hours_of_outage_missed(
    make: Callable[[int], World], capsys: pytest.CaptureFixture[str]
) -> None:
    world = make(60)
    begin = world.collect().start
    before = len(world.wire.requests)
    stopped, back = utc(3, day=12), utc(8, day=12)
    collected = world.collect(back + timedelta(seconds=5))
    assert collected.holes == ()
    used = len(world.wire.requests) - before
    least = 2 + sum(least_requests(world, market, stopped, back) for market in world.markets)
    found = world.audits(begin, back)
    with capsys.disabled():
        print(f"\n5 h stopped, {len(world.markets)} markets: {used} requests used, {least} are the least possible")
        print({place: str(result) for place, result in found.items()})
    assert all(result.equal for result in found.values())
    assert used <= 1.25 * least


def least_requests(world: World, market: str, start: datetime, end: datetime) -> int:
    """200 rows a request; a market without a trade needs none, as the ticker says so."""
    rows = len(truth(world.source, market, start, end))
    return -(-rows // 200)


def test_the_run_after_ten_days_takes_no_more_memory_than_the_one_after_two(
    make: Callable[[int], World], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grown = {}
    for days in (2, 10):
        world = make(5)
        world.collect()
        back = START + timedelta(days=days)
        world.clock.set(back)
        with served(world.wire.app) as url:
            job = Job(world.settings, url, tmp_path / "other", log=tmp_path / "memory")
            child = spawn(measured, job, back)
            child.join(300)
        assert child.exitcode == 0
        known = world.newest
        assert known.end == back.replace(second=0)
        (request,) = BackfillQueue(world.lake).open()
        assert (request.start, request.end) == (START.replace(second=0), reach_of(known.end)), "the rest is requested"
        grown[days] = int((tmp_path / "memory").read_text())
    with capsys.disabled():
        print(f"\nMB at most of the run after 2 days: {grown[2] // 1024}, after 10 days: {grown[10] // 1024}")
    assert grown[10] < grown[2] * 1.15


def measured(job: Job, back: datetime) -> None:
    """Body of a process: one run at `back`; writes its largest size in KB."""
    collect_once(Job(job.settings, job.base_url, job.state), ManualClock(back))
    assert job.log
    job.log.write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
