"""Whatever happens at any call of a run that scores, the next one gives the same scores, and Hive shows them.

`UPBIT_SIM_THIN=1` tries every fault at every call; without it, one fault at some of the calls.
"""

from __future__ import annotations

import os
from contextlib import suppress

import pyarrow as pa

from tests.support.calls import every_case
from tests.support.edge import Killed
from tests.support.invariants import broken
from tests.support.scenes import day_over
from tests.support.simulation import Trace, World, determined, utc
from upbit_elt.errors import UpbitEltError
from upbit_elt.forecast.score_day import SCORE
from upbit_elt.lake.lease import DURATION
from upbit_elt.lake.snapshot import read_files

THIN = int(os.environ.get("UPBIT_SIM_THIN", "12"))
DAY = "261124"


def day_to_score() -> World:
    """A KST day that is closed, with forecasts; the next one is an hour old."""
    world = day_over()
    world.process().close()
    world.at(utc("2026-11-24T16:02:05")).process().live()
    return world


def scores(world: World) -> pa.Table:
    (source,) = read_files(world.process().lake, SCORE, DAY)
    return source.table


def test_whatever_happens_at_a_call_the_next_run_gives_the_same_scores() -> None:
    with determined(1):
        world = day_to_score()
        trace, undisturbed = Trace(), world.copy()
        undisturbed.process(trace).score()
        wanted, cases, wrong = scores(undisturbed), 0, list[str]()
        assert wanted.num_rows > 0
        for place, fault in every_case(trace.calls, THIN):
            cases += 1
            here = world.copy()
            with suppress(Killed, UpbitEltError):
                here.process(Trace(place, fault)).score()
            here.clock.sleep(DURATION.total_seconds() + 1)  # what has died holds its lease no longer
            here.process().score()
            here.process().close()  # registers what a run that died has published
            found = [*broken(here)] if scores(here).equals(wanted) else ["the scores are others"]
            wrong += [f"{fault.name} at call {place}, {trace.calls[place]}: {what}" for what in found]
    print(f"{len(trace.calls)} calls, {cases} cases")
    assert not wrong, "\n".join(wrong[:5])
