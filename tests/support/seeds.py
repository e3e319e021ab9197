"""Some KST days of a deployment, everything of which follows from a seed: what runs when, and what goes wrong."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from tests.support.calls import faults_of
from tests.support.edge import Call, Fault, Killed
from tests.support.exchange import Reply, headers_at
from tests.support.interleaving import run_both
from tests.support.invariants import CADENCE, assert_honest, assert_right, settle
from tests.support.simulation import DEATHS, Job, Process, World, utc
from tests.support.small_exchange import Spoil
from upbit_elt.candle import KST, day_end, kst_day
from upbit_elt.errors import UpbitEltError

JOBS: tuple[tuple[int, Job], ...] = (
    (6, Process.live),
    (2, Process.backfill),
    (2, Process.close),
    (2, Process.prove),
    (2, Process.forecast),
)
LONGEST_GAP = timedelta(hours=4)
LOOK = 0.08  # how often, after a run, everything must be right at once


class Chance:
    """Watches a process: each of its calls may go wrong, with a chance of `odds`; at most `most` times."""

    def __init__(self, rng: random.Random, odds: float, most: int = 3) -> None:
        self._rng, self._odds, self._left = rng, odds, most
        self._dead = False
        self.met: list[Fault] = []

    def __call__(self, call: Call) -> Fault:
        if self._dead:
            raise Killed
        if not self._left or self._rng.random() >= self._odds:
            return Fault.NONE
        self._left -= 1
        fault = self._rng.choice(faults_of(call))
        self._dead = fault in DEATHS
        self.met.append(fault)
        return fault


@dataclass
class Lived:
    """What happened in the days of a seed."""

    days: int = 0
    runs: int = 0
    pairs: int = 0
    outages: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)

    def __add__(self, other: Lived) -> Lived:
        return Lived(
            self.days + other.days,
            self.runs + other.runs,
            self.pairs + other.pairs,
            self.outages + other.outages,
            self.faults + other.faults,
        )

    def __str__(self) -> str:
        faults = ", ".join(f"{fault.name.lower()} {count}" for fault, count in sorted(self.faults.items(), key=str))
        return (
            f"{self.days} days, {self.runs} runs, {self.pairs} pairs of runs at once, {self.outages} outages, "
            f"{self.faults.total()} faults ({faults})"
        )


def beginning(rng: random.Random) -> World:
    """A deployment some time of a day, before its first run."""
    return World.fresh(utc("2026-11-23T03:00:05") + timedelta(minutes=rng.randrange(0, 600)))


def live_through(world: World, seed: int, days: int, rng: random.Random) -> Lived:
    """Let the days of a seed pass; each ends with everything right. Raises AssertionError with the seed."""
    lived = Lived()
    settle(world)
    for _ in range(days):
        end = day_end(kst_day(world.clock.now())) + timedelta(minutes=rng.randrange(2, 40))
        while world.clock.now() < end:
            _pass_time(world, rng)
            _something(world, rng, lived)
            with _named(world, seed, lived):
                assert_honest(world)
                if rng.random() < LOOK:  # before the day's end repairs what the next run should have
                    world.exchange.spoil = None
                    assert_right(world, still=False)
        world.exchange.spoil = None
        lived.days += 1
        with _named(world, seed, lived):
            assert_right(world, still=rng.random() < 0.2)
    return lived


@contextmanager
def _named(world: World, seed: int, lived: Lived) -> Iterator[None]:
    """What is found wrong is an error that names the seed and the moment."""
    try:
        yield
    except AssertionError as error:
        day = world.clock.now().astimezone(KST)
        raise AssertionError(f"seed {seed}, {day:%y%m%d %H:%M} KST, {lived}:\n{error}") from error


def _pass_time(world: World, rng: random.Random) -> None:
    """To the start of a later live run; now and then a few hours."""
    gap = CADENCE * rng.choice((1, 1, 2, 5, 15, 30, 60, 120))
    now = world.clock.now() + min(gap, LONGEST_GAP)
    world.at(now.replace(second=rng.choice((3, 5, 31)), microsecond=0) - timedelta(minutes=now.minute % 2))


def _something(world: World, rng: random.Random, lived: Lived) -> None:
    weights, jobs = zip(*JOBS, strict=True)
    if rng.random() < 0.1:
        world.exchange.spoil = _outage(world, rng)
        lived.outages += 1
    elif rng.random() < 0.4:
        world.exchange.spoil = None
    lived.runs += 1
    if rng.random() < 0.15:
        lived.pairs += 1
        both = rng.choices(jobs, weights, k=2)
        switches = {rng.randrange(1, 120) for _ in range(rng.randrange(1, 6))}
        run_both(world, (both[0], both[1]), switches, rng.choice((0.0, 0.0, 200.0)))
        return
    chance = Chance(rng, rng.choice((0.0, 0.01, 0.05)))
    with suppress(Killed, UpbitEltError):  # later runs bring it right
        rng.choices(jobs, weights)[0](world.process(chance))
    lived.faults.update(chance.met)


def _outage(world: World, rng: random.Random) -> Spoil:
    """An exchange in trouble: everything or one market fails, rows are wrong, or a market is forgotten."""
    market = rng.choice(sorted(world.exchange.markets))
    kind = rng.choice(("all", "one", "rows", "forgotten"))

    def spoil(path: str, query: dict[str, str]) -> Reply | None:
        mine = query.get("market") == market
        if kind == "all" or (kind == "one" and mine):
            return 503, "unavailable", headers_at(world.clock.now())
        if kind == "forgotten" and mine:
            return 404, '{"error":{"name":404,"message":"Code not found"}}', headers_at(world.clock.now())
        if kind == "rows" and mine:
            status, body, headers = world.exchange.truthful(path, query)
            rows = json.loads(body)
            for row in rows[1::7]:
                row["high_price"] = row["low_price"] / 2
            return status, json.dumps(rows), headers
        return None

    return spoil
