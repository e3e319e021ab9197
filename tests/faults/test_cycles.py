"""Many runs under every fault of the exchange and kill -9 of the daemons; at the end nothing may differ."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from tests.support.audit import Audit
from tests.support.clock import utc
from tests.support.edges import DaemonEdge
from tests.support.hooks import do_nothing, hooked
from tests.support.machine import Machine
from tests.support.world import World
from upbit_elt.candle import MINUTE, kst_day
from upbit_elt.collect.recheck import TRIES
from upbit_elt.errors import UpbitEltError
from upbit_elt.lake import ledger
from upbit_elt.lake.backfill_queue import BackfillQueue
from upbit_elt.lake.parquet import coverage_of, decode, encode
from upbit_elt.replica.faults import KINDS

START = utc(10, 0, 5, day=22)
MARKETS = 90
SOAK = 50  # cycles; RATES and KILLS are made for them
RATES = {
    "storm": 0.1, "ban": 0.0006, "error": 0.01, "hang": 0.002, "cut": 0.005, "garbage": 0.005, "html": 0.005,
    "empty": 0.005, "slow": 0.02, "skew": 0.02, "late": 0.02, "stale": 0.15, "bad": 0.03,
}  # fmt: skip
# Which daemon dies in which cycle, before which step of the run.
KILLS = {
    9: ("namenode", "rename"), 19: ("datanode", "upload"), 29: ("hiveserver2", "rename"),
    39: ("datanode", "create"), 49: ("namenode", "delete"),
}  # fmt: skip
# Fewer, with faults that are so much more frequent: every kind, and every daemon dies once.
FEW = 14
FEW_KILLS = {3: KILLS[9], 6: KILLS[19], 9: KILLS[29]}


def windows(random_: random.Random, cycles: int) -> list[timedelta]:
    """Mostly the scheduler's two minutes, at times a longer pause, once six hours."""
    lengths = random_.choices((2, 4, 10, 40, 130), weights=(60, 20, 10, 6, 4), k=cycles)
    lengths[cycles // 2] = 360
    return [length * MINUTE for length in lengths]


class Run:
    """The cycles, and what came of them."""

    def __init__(self, world: World, machine: Machine) -> None:
        self.world, self.machine = world, machine
        self.lake, _ = hooked(world.settings, do_nothing)
        world.lake = self.lake
        self.failures: Counter[str] = Counter()
        self.quarantined = 0

    def cycle(self, moment: datetime, kill: tuple[str, str] | None = None) -> None:
        self.world.clock.set(max(moment, self.world.clock.now()))
        if kill:
            self.lake.hook = self._killer(*kill)
        try:
            self.quarantined += self.world.collect().quarantined
        except UpbitEltError as error:
            self.failures[type(error).__name__] += 1
        finally:
            self.lake.hook = do_nothing
        if kill:
            self.machine.revive()

    def _killer(self, name: str, step: str) -> Callable[[str, str], None]:
        def hook(now: str, path: str) -> None:
            if now == step and (".parquet" in path or step == "delete"):
                self.lake.hook = do_nothing
                self.machine.kill(name)

        return hook


@pytest.fixture
def run(machine: Machine, tmp_path: Path, seed: int) -> Run:
    world = World(DaemonEdge(machine.settings), tmp_path, START, MARKETS, workers=1, hive_timeout=20.0)
    world.faults.seed = seed
    return Run(world, machine)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("cycles", [FEW, pytest.param(SOAK, marks=pytest.mark.soak)])
def test_nothing_is_lost_doubled_or_altered(
    run: Run, machine: Machine, seed: int, cycles: int, capsys: pytest.CaptureFixture[str]
) -> None:
    world, faults, before = run.world, run.world.faults, dict(machine.kills)
    world.collect()
    first = world.newest
    faults.rates = {kind: min(rate * SOAK / cycles, 0.5) for kind, rate in RATES.items()}
    moment = START
    for number, length in enumerate(windows(random.Random(seed), cycles)):
        moment += length
        run.cycle(moment, (KILLS if cycles == SOAK else FEW_KILLS).get(number))
    end_of_faults = world.clock.now()
    faults.rates = {}
    # The last try for a quarantined row comes 2^10 minutes after it was found.
    for pause in (2, 2, 2 ** (TRIES - 1), 2):
        run.cycle(world.clock.now() + timedelta(minutes=pause, seconds=180))
    for request in BackfillQueue(world.lake).open():  # what lay too long ago for a live run
        world.work_off(request)
    # On minutes that were skipped on a stale ticker's word before a gap of hours, reconciliation has the last word.
    over = kst_day(first.start)
    world.close_day(over)
    world.prove([over])
    run.cycle(world.clock.now() + timedelta(minutes=2))
    last = world.newest
    assert [recheck for recheck in last.rechecks or () if recheck.state == "hole"] == []
    found = world.audits(first.start, last.end)
    with capsys.disabled():
        print(f"\nseed {seed}; {cycles} runs from {first.start:%Y-%m-%d %H:%M} to {end_of_faults:%Y-%m-%d %H:%M} UTC")
        _print(run, found)
    assert all(part.equal for part in found.values()), [part.examples for part in found.values()]
    least = 100_000 if cycles == SOAK else 90_000
    assert all(part.compared >= least for part in found.values())
    assert set(KINDS) <= {kind for kind, number in faults.injected.items() if number}
    assert run.quarantined > 0
    assert all(number > before[name] for name, number in machine.kills.items())
    for words in _planted(world, last.end):
        with capsys.disabled():
            print(words)


def _planted(world: World, end: datetime) -> Iterator[str]:
    """The same check with one candle lost, one twice and one altered: it must see each."""
    day = kst_day(end - MINUTE)
    folder = ledger.current(world.lake, "candle", day)
    assert folder is not None
    path, _, start, _ = ledger.files(world.lake, folder, day)[-1]
    data = world.lake.read(path)
    table, coverage = decode(data, path), coverage_of(data, path)
    prices = table.column("trade_price").to_pylist()
    changed = table.set_column(6, "trade_price", [[prices[0] * 2, *prices[1:]]])
    plants = {
        "lost": table.slice(1),
        "doubled": pa.concat_tables([table.slice(0, 1), table]),
        "altered": changed.cast(table.schema),
    }
    for kind, planted in plants.items():
        world.lake.delete(path)
        world.lake.publish(path, encode(planted, coverage))
        found = world.audits(start, end)
        for result in found.values():
            assert getattr(result, kind) == 1, (kind, result)
            assert not result.equal
        yield f"planted, {kind}: lake: {found['lake']}; Hive: {found['Hive']}"
    world.lake.delete(path)
    world.lake.publish(path, data)
    assert all(result.equal for result in world.audits(start, end).values())


def _print(run: Run, found: dict[str, Audit]) -> None:
    injected = run.world.faults.injected
    print("injected:", ", ".join(f"{kind} {number}" for kind, number in sorted(injected.items())))
    print("killed -9:", ", ".join(f"{name} {number}" for name, number in run.machine.kills.items()))
    print("runs that failed:", dict(run.failures), "; rows quarantined:", run.quarantined)
    for place, result in found.items():
        print(f"{place}: {result}")
