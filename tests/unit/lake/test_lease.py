"""A lease costs two operations, and one that a dying writer left half-written ends by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.support.clock import ManualClock, utc
from tests.support.edge import Call, Fault, Killed
from tests.support.hdfs import MemoryHdfs
from upbit_elt.errors import LeaseHeld
from upbit_elt.lake.lease import DURATION, is_held, lease
from upbit_elt.lake.webhdfs import Lake

FOLDER = "/candle/261124"
NO_WAIT = timedelta(0)


def dies(name: str, fault: Fault) -> Callable[[Call], Fault]:
    return lambda call: fault if call.name == name else Fault.NONE


def test_a_lease_is_one_create_and_one_delete() -> None:
    clock = ManualClock(utc(3))
    hdfs = MemoryHdfs(clock)
    with lease(Lake(hdfs.client()), FOLDER, clock):
        pass
    assert hdfs.operations == {"CREATE": 1, "DELETE": 1}


def test_a_lease_with_little_left_is_looked_at_before_it_is_given_back() -> None:
    clock = ManualClock(utc(3))
    hdfs = MemoryHdfs(clock)
    with lease(Lake(hdfs.client()), FOLDER, clock):
        clock.sleep(DURATION.total_seconds())
        with lease(Lake(hdfs.client()), FOLDER, clock) as second:
            pass  # it was over, so this one took it
        second.acquire(NO_WAIT)
    second.check()


@pytest.mark.parametrize("fault", [Fault.DIES_BEFORE, Fault.DIES_HALFWAY])
def test_a_lease_whose_writer_died_while_it_wrote_it_ends_by_itself(fault: Fault) -> None:
    clock = ManualClock(utc(3))
    hdfs = MemoryHdfs(clock)
    lake = Lake(hdfs.client())
    with pytest.raises(Killed), lease(Lake(hdfs.client(dies("WRITE", fault))), FOLDER, clock):
        pass
    clock.sleep(DURATION.total_seconds() - 1)
    assert is_held(lake, FOLDER, clock)
    with pytest.raises(LeaseHeld), lease(lake, FOLDER, clock, NO_WAIT):
        pass
    clock.sleep(1)
    assert not is_held(lake, FOLDER, clock)
    with lease(lake, FOLDER, clock, NO_WAIT):
        assert is_held(lake, FOLDER, clock)
    assert hdfs.files() == {}
