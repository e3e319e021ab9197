from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.clock import ManualClock, utc
from tests.support.hdfs import MemoryHdfs
from upbit_elt.backfill.time_budget import REST, TimeBudget, next_live_run
from upbit_elt.lake.webhdfs import Lake


def time_budget(clock: ManualClock, *, patient: bool = False, live_minute: int | None = 10) -> TimeBudget:
    made = TimeBudget(Lake(MemoryHdfs(clock).client()), clock, patient=patient)
    made.set_live_end(utc(3, live_minute) if live_minute is not None else None)
    return made


@pytest.mark.parametrize(
    ("second", "free"),
    [(0, True), (60, True), (114, True), (116, False), (121, False), (129, False), (131, True)],
)
def test_the_moments_around_a_live_runs_start_are_left_to_it(second: int, free: bool) -> None:
    clock = ManualClock(utc(3, 10) + timedelta(seconds=second))
    assert time_budget(clock).await_time() is free
    assert time_budget(clock, live_minute=None).await_time(), "nobody waits for runs that do not happen"
    assert time_budget(ManualClock(utc(3, 25, 58))).await_time(), "nor for those that stopped a while ago"


def test_a_patient_one_waits_and_an_outage_is_waited_for() -> None:
    clock = ManualClock(utc(3, 11, 56))
    assert time_budget(clock, patient=True).await_time()
    assert clock.now() >= utc(3, 12, 10)
    assert not time_budget(clock).rest()
    before = clock.now()
    assert time_budget(clock, patient=True).rest()
    assert (clock.now() - before).total_seconds() == REST


def test_the_next_live_run_is_at_an_even_minute() -> None:
    assert [next_live_run(utc(3, 10, s)) for s in (0, 59)] == [utc(3, 12)] * 2
    assert next_live_run(utc(3, 11, 59)) == utc(3, 12)
    assert time_budget(ManualClock(utc(3, 11))).seconds_left() == 55


def test_a_backfill_that_is_stopped_gets_no_more_time() -> None:
    signals: list[str] = []
    clock = ManualClock(utc(3, 10))
    made = TimeBudget(Lake(MemoryHdfs(clock).client()), clock, patient=True, stopped=lambda: bool(signals))
    assert made.await_time()
    signals.append("Ctrl-C")
    assert not made.await_time()
    assert made.must_stop()
