"""One writer at a time, on a real HDFS."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.support.clock import ManualClock, utc
from upbit_elt.errors import LeaseHeld
from upbit_elt.lake.connect import connect
from upbit_elt.lake.lease import DURATION, Lease, lease
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings

SHORT = timedelta(seconds=5)


@pytest.fixture
def folder(daemons: Settings) -> Iterator[tuple[Lake, str]]:
    lake = Lake.from_settings(daemons)
    path = f"/lease-{uuid4().hex}"
    yield lake, path
    lake.delete(path)


def holder(host: str, pid: int, until: str) -> bytes:
    row = {"token": "other", "until": until, "host": host, "pid": str(pid), "started": "1.0"}
    return json.dumps(row).encode()


def test_a_second_writer_waits_and_then_gives_up_with_a_clear_word(folder: tuple[Lake, str]) -> None:
    lake, path = folder
    clock = ManualClock(utc(3))
    with lease(lake, path, clock):
        with pytest.raises(LeaseHeld, match="another writer"), lease(lake, path, clock, SHORT):
            pytest.fail("two writers at once")
        assert clock.now() >= utc(3) + SHORT
    with lease(lake, path, clock, SHORT):
        assert [entry.name for entry in lake.list(path)] == ["_lease"]
    assert lake.list(path) == []


def test_a_writer_on_another_machine_is_waited_for_until_its_lease_ends(folder: tuple[Lake, str]) -> None:
    lake, path = folder
    clock = ManualClock(utc(3))
    lake.create(f"{path}/_lease", holder("elsewhere", 1, (utc(3) + DURATION).isoformat()))
    with lease(lake, path, clock):
        assert clock.now() >= utc(3) + DURATION


def test_a_writer_of_this_machine_that_is_dead_is_not_waited_for(folder: tuple[Lake, str]) -> None:
    lake, path = folder
    clock = ManualClock(utc(3))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    lake.create(f"{path}/_lease", holder(socket.gethostname(), gone.pid, (utc(3) + DURATION).isoformat()))
    with lease(lake, path, clock, SHORT):
        assert clock.now() < utc(3) + SHORT


def test_one_of_many_processes_gets_the_lease(folder: tuple[Lake, str]) -> None:
    lake, path = folder
    clock = ManualClock(utc(3))

    def take(_: int) -> bool:
        try:
            Lease(lake, f"{path}/_lease", clock).acquire(timedelta(0))
        except LeaseHeld:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(8))) == 1
    assert [entry.name for entry in lake.list(path)] == ["_lease"]


def test_a_long_job_keeps_its_lease_by_renewing_it(folder: tuple[Lake, str]) -> None:
    lake, path = folder
    clock = ManualClock(utc(3))
    with lease(lake, path, clock) as held:
        for _ in range(5):
            clock.sleep(DURATION.total_seconds() * 0.6)
            held.renew()
        with pytest.raises(LeaseHeld), lease(lake, path, clock, SHORT):
            pytest.fail("two writers at once")


def test_a_writer_that_lost_its_lease_publishes_nothing_and_leaves_the_new_one_alone(folder: tuple[Lake, str]) -> None:
    lake, path = folder
    clock = ManualClock(utc(3))
    late = Lease(lake, f"{path}/_lease", clock)
    late.acquire(SHORT)
    lake.replace(f"{path}/_lease", holder("elsewhere", 1, (utc(3) + DURATION).isoformat()))
    with pytest.raises(LeaseHeld, match="taken over"):
        late.check()
    late.release()
    assert lake.exists(f"{path}/_lease")


class Hasty(Lake):
    """A writer's lake: right before it moves a dead lease away, somebody else does so and takes the lease."""

    def __init__(self, settings: Settings, path: str, clock: ManualClock) -> None:
        super().__init__(connect(settings.webhdfs_url, settings.webhdfs_user))
        other = Lake.from_settings(settings)
        self._folder, self.first = path, Lease(other, f"{path}/_lease", clock)
        self._done = False

    def rename(self, source: str, target: str) -> None:
        if source == f"{self._folder}/_lease" and not self._done:
            self._done = True
            self.first.acquire(SHORT)
        super().rename(source, target)


def test_one_of_two_processes_takes_an_expired_lease(daemons: Settings, folder: tuple[Lake, str]) -> None:
    lake, path = folder
    clock = ManualClock(utc(3))
    lake.create(f"{path}/_lease", holder("elsewhere", 1, utc(2).isoformat()))
    hasty = Hasty(daemons, path, clock)
    with pytest.raises(LeaseHeld, match="another writer"), lease(hasty, path, clock, SHORT):
        pytest.fail("two writers at once")
    hasty.first.check()
    hasty.first.release()
    assert lake.list(path) == []
