"""At every single call of every job the process dies, or the call fails: later runs bring everything right.

`UPBIT_SIM_THIN=1` tries every fault at every call; without it, one fault at some of the calls.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.calls import try_every_call
from tests.support.scenes import SCENES, old_files
from tests.support.simulation import Process, determined

THIN = int(os.environ.get("UPBIT_SIM_THIN", "12"))


@pytest.mark.parametrize("scene", SCENES)
def test_whatever_happens_at_a_call_later_runs_bring_everything_right(scene: str) -> None:
    make, job = SCENES[scene]
    with determined(1):
        found = try_every_call(make(), job, THIN)
    print(f"{scene}: {found}")
    assert not found.broken, "\n".join(found.broken[:5])


def test_an_adoption_that_is_cut_short_is_finished_by_the_next(tmp_path: Path) -> None:
    def adopt_until_done(process: Process) -> None:
        process.adopt()

    with determined(1):
        found = try_every_call(old_files(tmp_path), adopt_until_done, THIN)
    print(f"adopt: {found}")
    assert not found.broken, "\n".join(found.broken[:5])
