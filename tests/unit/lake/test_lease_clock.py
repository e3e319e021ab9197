"""Leases of a machine whose clock is set."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tests.support.clock import ManualClock, utc
from tests.support.hdfs import MemoryHdfs
from upbit_elt.errors import LeaseHeld
from upbit_elt.lake.lease import DURATION, is_held, lease
from upbit_elt.lake.webhdfs import Lake

FOLDER = "/replica/candle"
NINE_HOURS = timedelta(hours=9)
SHORT = timedelta(seconds=5)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(utc(12))


@pytest.fixture
def lake(clock: ManualClock) -> Lake:
    return Lake(MemoryHdfs(clock).client(), "/replica")


def of_another_machine(lake: Lake, until: str, name: str = "other") -> None:
    row = {"token": name, "until": until, "host": "elsewhere", "pid": "1", "started": "1.0"}
    lake.replace(f"{FOLDER}/_lease", json.dumps(row).encode())


def test_a_dead_writers_lease_is_not_waited_for_longer_than_it_lasts(lake: Lake, clock: ManualClock) -> None:
    of_another_machine(lake, (clock.now() + DURATION).isoformat())
    clock.step(-NINE_HOURS)
    begun = clock.since_boot()
    assert not is_held(lake, FOLDER, clock), "its end is farther ahead than any lease lasts"
    with lease(lake, FOLDER, clock):
        assert clock.since_boot() == begun


@pytest.mark.parametrize("data", [b"", b'{"token": "other", "un'])
def test_a_lease_half_written_before_the_clock_was_set_back_is_not_waited_for(
    lake: Lake, clock: ManualClock, data: bytes
) -> None:
    """The NameNode's clock says when it was made; a worker that is nine hours behind would wait for nine hours."""
    lake.create(f"{FOLDER}/_lease", data)
    here = ManualClock(clock.now() - NINE_HOURS)
    begun = here.since_boot()
    with lease(lake, FOLDER, here, SHORT):
        assert here.since_boot() == begun


def test_a_lease_that_is_being_written_is_waited_for(lake: Lake, clock: ManualClock) -> None:
    lake.create(f"{FOLDER}/_lease", b"")
    with pytest.raises(LeaseHeld), lease(lake, FOLDER, ManualClock(clock.now()), SHORT):
        pytest.fail("two writers at once")


def test_an_end_that_does_not_move_is_one_though_the_clock_says_otherwise(lake: Lake, clock: ManualClock) -> None:
    class Slowed(ManualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            self.step(-timedelta(seconds=seconds))

    of_another_machine(lake, (clock.now() + DURATION).isoformat())
    with lease(lake, FOLDER, Slowed(clock.now())):
        pass


def test_a_living_writers_lease_is_kept_by_its_renewals_when_the_clock_is_set_back(
    lake: Lake, clock: ManualClock
) -> None:
    with lease(lake, FOLDER, clock) as held:
        clock.step(-NINE_HOURS)
        assert is_held(lake, FOLDER, clock), "its process lives"
        clock.sleep(50)
        held.renew()
        assert is_held(lake, FOLDER, clock)
        until = json.loads(lake.read(f"{FOLDER}/_lease"))["until"]
        assert until == (clock.now() + DURATION).isoformat()


def test_waiting_for_a_lease_ends_after_its_time_however_the_clock_is_set(lake: Lake, clock: ManualClock) -> None:
    class Set(ManualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            self.step(-NINE_HOURS)

    waiting = Set(clock.now())
    with lease(lake, FOLDER, clock):
        begun = waiting.since_boot()
        with pytest.raises(LeaseHeld), lease(lake, FOLDER, waiting, SHORT):
            pytest.fail("two writers at once")
        assert waiting.since_boot() - begun <= 6


def test_a_lease_that_is_renewed_again_and_again_is_not_taken_for_dead(lake: Lake, clock: ManualClock) -> None:
    class Renewing(ManualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.since_boot() % 45 < 1:
                of_another_machine(lake, (self.now() + DURATION).isoformat())

    of_another_machine(lake, (clock.now() + DURATION).isoformat())
    with pytest.raises(LeaseHeld), lease(lake, FOLDER, Renewing(clock.now()), 2 * DURATION):
        pytest.fail("two writers at once")
