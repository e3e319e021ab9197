from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.clock import ManualClock, utc
from tests.support.hdfs import MemoryHdfs
from upbit_elt.backfill.time_budget import REST, Turns, next_live_run
from upbit_elt.lake.webhdfs import Lake


def turns(clock: ManualClock, *, patient: bool = False, live_minute: int | None = 10) -> Turns:
    made = Turns(Lake(MemoryHdfs(clock).client()), clock, patient=patient)
    made.saw_live(utc(3, live_minute) if live_minute is not None else None)
    return made


@pytest.mark.parametrize(
    ("second", "free"),
    [(0, True), (60, True), (114, True), (116, False), (121, False), (129, False), (131, True)],
)
def test_the_moments_around_a_live_runs_start_are_left_to_it(second: int, free: bool) -> None:
    clock = ManualClock(utc(3, 10) + timedelta(seconds=second))
    assert turns(clock).await_turn() is free
    assert turns(clock, live_minute=None).await_turn(), "nobody waits for runs that do not happen"
    assert turns(ManualClock(utc(3, 25, 58))).await_turn(), "nor for those that stopped a while ago"


def test_a_patient_one_waits_and_an_outage_is_waited_for() -> None:
    clock = ManualClock(utc(3, 11, 56))
    assert turns(clock, patient=True).await_turn()
    assert clock.now() >= utc(3, 12, 10)
    assert not turns(clock).rest()
    before = clock.now()
    assert turns(clock, patient=True).rest()
    assert (clock.now() - before).total_seconds() == REST


def test_the_next_live_run_is_at_an_even_minute() -> None:
    assert [next_live_run(utc(3, 10, s)) for s in (0, 59)] == [utc(3, 12)] * 2
    assert next_live_run(utc(3, 11, 59)) == utc(3, 12)
    assert turns(ManualClock(utc(3, 11))).seconds_left() == 55


def test_whoever_is_told_to_stop_gets_no_turn() -> None:
    told: list[str] = []
    clock = ManualClock(utc(3, 10))
    made = Turns(Lake(MemoryHdfs(clock).client()), clock, patient=True, stopped=lambda: bool(told))
    assert made.await_turn()
    told.append("Ctrl-C")
    assert not made.await_turn()
    assert made.must_stop()
