"""Days in which anything may happen at any call, from seeds: at the end of each, everything is right.

`UPBIT_SIM_DAYS` says how many days (6 without it), `UPBIT_SIM_SEED` the first seed. A seed gives the same days again.
"""

from __future__ import annotations

import os

from tests.support.seeds import Lived, beginning, live_through
from tests.support.simulation import determined

DAYS_A_SEED = 3
DAYS = int(os.environ.get("UPBIT_SIM_DAYS", "6"))
FIRST = int(os.environ.get("UPBIT_SIM_SEED", "1"))


def test_days_of_many_seeds_end_with_everything_right() -> None:
    lived, broken = Lived(), list[str]()
    for seed in range(FIRST, FIRST + DAYS // DAYS_A_SEED):
        with determined(seed) as rng:
            try:
                lived += live_through(beginning(rng), seed, DAYS_A_SEED, rng)
            except AssertionError as error:
                broken.append(str(error))
    print(f"seeds {FIRST} to {FIRST + DAYS // DAYS_A_SEED - 1}: {lived}, {len(broken)} seeds broken")
    assert not broken, "\n\n".join(broken[:5])


def test_a_seed_gives_the_same_days_again() -> None:
    files = []
    for _ in range(2):
        with determined(3) as rng:
            world = beginning(rng)
            live_through(world, 3, 1, rng)
            files.append(world.hdfs.files())
    assert files[0] == files[1]
