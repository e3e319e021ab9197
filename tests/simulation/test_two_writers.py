"""Two writers at once, their calls in every order up to a depth: neither loses, doubles or hides what the other wrote.

Depth 1: the second runs while the first waits before one of its calls, at every call of either. The same once more
with the first one suspended for longer than its leases last. Depth 2 (`UPBIT_SIM_DEPTH=2`): also the second waits once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import product

import pytest

from tests.support import scenes
from tests.support.interleaving import alone, run_both
from tests.support.invariants import assert_right, assert_safe, seen
from tests.support.simulation import Job, Process, World, determined

THIN = int(os.environ.get("UPBIT_SIM_THIN", "24"))
DEPTH = int(os.environ.get("UPBIT_SIM_DEPTH", "1"))
SUSPENDED = 200.0

PAIRS: dict[str, tuple[Callable[[], World], Job, Job]] = {
    "two live runs": (scenes.midnight, Process.live, Process.live),
    "two compactions": (scenes.many_files, Process.live, Process.live),
    "live and close": (scenes.day_over_live_due, Process.live, Process.close),
    "live and backfill": (scenes.history_wanted_live_due, Process.live, Process.backfill),
    "live and repair": (scenes.differing, Process.live, Process.prove),
    "close and backfill": (scenes.day_over_history_requested, Process.close, Process.backfill),
    "close and close": (scenes.day_over, Process.close, Process.close),
    "repair and backfill": (scenes.differing_history_requested, Process.prove, Process.backfill),
    "forecast and close": (scenes.day_over_live_due, Process.forecast, Process.close),
    "two forecasts": (scenes.forecast_due, Process.forecast, Process.forecast),
}


def schedules(first: int, second: int) -> Iterator[tuple[tuple[int, ...], float]]:
    """Steps at which the turn changes, and how long the first one is suspended at the first change."""
    yield from (((place,), 0.0) for place in range(first))
    yield from (((place,), SUSPENDED) for place in range(first))
    if DEPTH > 1:
        yield from (((a, a + b), 0.0) for a, b in product(range(1, first), range(1, second)))


@pytest.mark.parametrize("pair", PAIRS)
def test_in_every_order_of_their_calls_both_come_out_right(pair: str) -> None:
    make, first, second = PAIRS[pair]
    broken: list[str] = []
    tried = 0
    with determined(1):
        world = make()
        calls = alone(world.copy(), first), alone(world.copy(), second)
        chosen = [*schedules(len(calls[0]), len(calls[1]))][::THIN]
        for switches, lapse in chosen:
            tried += 1
            here, before = world.copy(), seen(world)
            try:
                run_both(here, (first, second), switches, lapse)
                assert_safe(here, before)
                assert_right(here, still=tried % 8 == 0)
            except AssertionError as error:
                broken.append(f"turns change at {switches}, {calls[0][switches[0]]}, {lapse:.0f} s later: {error}")
    print(f"{pair}: {len(calls[0])} and {len(calls[1])} calls, {tried} orders, {len(broken)} broken")
    assert not broken, "\n".join(broken[:5])
