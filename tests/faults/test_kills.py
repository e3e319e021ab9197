"""kill -9 of a worker on real daemons, and two writers at once, one of them killed again and again.

The simulation kills at every call of every job; here some die beside a real HDFS and Hive, and all in ./test soak.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.clock import utc
from tests.support.edges import DaemonEdge
from tests.support.machine import Machine
from tests.support.worker import Job, WarpClock, run_at, run_until, served, spawn
from tests.support.world import World, with_ticker
from upbit_elt.candle import MINUTE
from upbit_elt.replica import create_replica

START = utc(11, 0, 5)
TWO = 2 * MINUTE
STEPS = 20  # of a run, about


@dataclass(frozen=True)
class AtStep:
    """Dies before the n-th step."""

    number: int

    def __call__(self, number: int, step: str, path: str) -> bool:
        return number == self.number


class After:
    """Dies before the n-th step of its life, however many runs that takes."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self, number: int, step: str, path: str) -> bool:
        self.left -= 1
        return self.left <= 0


class At:
    """Dies before the n-th step of a kind whose path or statement contains a text."""

    def __init__(self, kind: str, text: str, number: int = 1) -> None:
        self.kind, self.text, self.left = kind, text, number

    def __call__(self, number: int, step: str, path: str) -> bool:
        self.left -= step == self.kind and self.text in path
        return step == self.kind and self.text in path and self.left == 0

    def __str__(self) -> str:
        return f"{self.kind} {self.text}"


soak = pytest.mark.soak
MIDNIGHT = {
    "in mid-upload of the older day's file": At("upload", "1500.parquet"),
    "between the two files of midnight": At("create", "1502.parquet"),
    "in mid-upload of the newer day's file": At("upload", "1502.parquet"),
    "before the new day's daily table": At("execute", "CREATE EXTERNAL TABLE IF NOT EXISTS", 1),
    "between daily table and partition": At("execute", "ADD IF NOT EXISTS PARTITION"),
}
MIDNIGHT_ALWAYS = ("between the two files of midnight", "between daily table and partition")
REPAIR = {
    "before the new snapshot appears": At("rename", "live-2"),
    "before the first switch": At("execute", "SET LOCATION", 1),
    "between the two switches": At("execute", "SET LOCATION", 2),
}


def some_of(points: dict[str, At], *always: str) -> list[object]:
    """All points, those beyond `always` for ./test soak alone."""
    return [point if point in always else pytest.param(point, marks=soak) for point in points]


@pytest.fixture
def world(machine: Machine, tmp_path: Path) -> Iterator[World]:
    made = World(DaemonEdge(machine.settings), tmp_path / "state", START, first_minutes=10)
    yield made
    made.close()


def settle(world: World, job: Job, moment: datetime) -> None:
    """A run that nobody kills: the same window, as the scheduler's retry."""
    world.clock.set(moment)
    child = spawn(run_at, job, moment)
    child.join(60)
    assert child.exitcode == 0


def killed(world: World, job: Job, moment: datetime) -> int | None:
    world.clock.set(moment)
    child = spawn(run_at, job, moment)
    child.join(60)
    return child.exitcode


def assert_equal_since(world: World, start: datetime) -> None:
    known = world.newest
    first = start.replace(second=0)
    found = world.audits(first, known.end)
    assert found["lake"].compared > 0
    assert all(part.equal for part in found.values()), found


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=soak)])
def test_a_worker_killed_before_its_steps(
    world: World, tmp_path: Path, stride: int, capsys: pytest.CaptureFixture[str]
) -> None:
    world.collect()
    moment, steps = START, []
    with served(world.wire.app) as url:
        calm = Job(world.settings, url, tmp_path / "other", log=tmp_path / "step")
        for number in range(1, 60, stride):
            moment += TWO
            code = killed(world, Job(world.settings, url, calm.state, AtStep(number), calm.log), moment)
            if code == 0:
                break
            assert code == -signal.SIGKILL
            steps.append((tmp_path / "step").read_text())
        settle(world, calm, moment + TWO)
    assert len(steps) >= 8 // stride
    assert_equal_since(world, START - timedelta(minutes=10))
    with capsys.disabled():
        print(f"\na worker killed -9 before {len(steps)} of its steps:", "; ".join(steps))


@pytest.mark.parametrize("point", some_of(MIDNIGHT, *MIDNIGHT_ALWAYS))
def test_a_worker_killed_at_midnight(world: World, tmp_path: Path, point: str) -> None:
    world.collect(utc(14, 58, 5))
    with served(world.wire.app) as url:
        calm = Job(world.settings, url, tmp_path / "other")
        job = Job(world.settings, url, calm.state, MIDNIGHT[point])
        assert killed(world, job, utc(15, 2, 5)) == -signal.SIGKILL
        settle(world, calm, utc(15, 2, 30))
    assert_equal_since(world, utc(14, 48))


@pytest.mark.parametrize("point", some_of(REPAIR, "between the two switches"))
def test_a_worker_killed_while_it_repairs(world: World, tmp_path: Path, point: str) -> None:
    world.collect()
    active = world.busiest(utc(11), utc(11, 4))
    world.wire.spoil = with_ticker(world.wire.app, active, trade_timestamp=int(utc(2).timestamp() * 1000))
    world.collect(utc(11, 2, 5))
    assert world.compare(utc(11), utc(11, 2)).lost > 0
    with served(world.wire.app) as url:
        calm = Job(world.settings, url, tmp_path / "other")
        assert killed(world, Job(world.settings, url, calm.state, REPAIR[point]), utc(11, 4, 5)) == -signal.SIGKILL
        settle(world, calm, utc(11, 4, 30))
    assert_equal_since(world, utc(10, 50))


def test_two_writers_at_once_one_killed_again_and_again(
    world: World, tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = WarpClock(utc(14, 53, 5), speed=30)
    draw = random.Random(seed)
    end, kills = clock.start + timedelta(minutes=12), 0
    with served(create_replica(world.source, clock)) as url:
        job = Job(world.settings, url, tmp_path / "state2")
        scheduler = spawn(run_until, job, clock, end)
        while clock.now() < end - TWO:
            hand = spawn(run_until, replace(job, dies=After(draw.randint(1, STEPS))), clock, end)
            hand.join()
            assert hand.exitcode in (0, -signal.SIGKILL)
            kills += hand.exitcode != 0
        scheduler.join(60)
        assert scheduler.exitcode == 0
        last = clock.now()
        settle_with(job, WarpClock(clock.start, clock.speed, clock.origin), last)
    world.clock.set(clock.now())
    known = world.newest
    assert known.end >= end - TWO
    assert kills > 0
    assert_equal_since(world, known.end - timedelta(minutes=12))
    with capsys.disabled():
        print(f"\ntwo writers at once, one of them killed -9 {kills} times, seed {seed}: equal until {known.end:%H:%M}")


def settle_with(job: Job, clock: WarpClock, last: datetime) -> None:
    child = spawn(run_until, job, clock, last + MINUTE)
    child.join(60)
    assert child.exitcode == 0
