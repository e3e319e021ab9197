from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.clock import ManualClock, utc
from tests.support.state import in_use
from upbit_elt.clock import Deadline, SystemClock
from upbit_elt.errors import Banned, OutOfTime
from upbit_elt.exchange import clock_steps
from upbit_elt.exchange.limits import OUR_WINDOW, AddressLimits

TAKE = """
import sys
from pathlib import Path
from upbit_elt.clock import SystemClock
from upbit_elt.exchange.limits import AddressLimits
limits = AddressLimits(Path(sys.argv[1]), 10, SystemClock())
for _ in range(12):
    limits.acquire("candles")
"""
# what a request's turn is, whenever the process then gets the processor
KEEP_ALL = """
CREATE TABLE turns (up REAL);
CREATE TRIGGER keep_all AFTER INSERT ON sent BEGIN INSERT INTO turns VALUES (NEW.up); END;
"""


def test_two_processes_together_send_at_most_ten_a_second(tmp_path: Path) -> None:
    AddressLimits(tmp_path, 10, SystemClock()).ban_left()
    with closing(sqlite3.connect(tmp_path / "limits.db")) as database:
        database.executescript(KEEP_ALL)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    workers = [subprocess.Popen([sys.executable, "-c", TAKE, str(tmp_path)], env=environment) for _ in range(2)]
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0]
    with closing(sqlite3.connect(tmp_path / "limits.db")) as database:
        moments = [up for (up,) in database.execute("SELECT up FROM turns ORDER BY up")]
    assert len(moments) == 24
    busiest = max(sum(start <= moment < start + 1 for moment in moments) for start in moments)
    assert busiest <= 10


def test_a_ban_that_comes_while_waiting_for_the_rate_limit_stops_the_request(tmp_path: Path) -> None:
    limits = AddressLimits(tmp_path, 1, SystemClock())
    limits.acquire("candles")
    other = AddressLimits(tmp_path, 1, SystemClock())
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(limits.acquire, "candles") for _ in range(3)]
        other.ban(datetime.now(UTC) + timedelta(minutes=1))
    assert [type(turn.exception()) for turn in waiting] == [Banned] * 3


def test_a_request_waits_for_other_processes_until_its_deadline_and_not_longer(tmp_path: Path) -> None:
    limits, clock = AddressLimits(tmp_path, 10, SystemClock()), SystemClock()
    limits.acquire("candles")
    with (
        in_use(tmp_path / "limits.db"),
        pytest.raises(OutOfTime, match=r"not requested: .*limits\.db was in use"),
    ):
        limits.acquire("candles", Deadline(clock, 0.05))
    limits.acquire("candles", Deadline(clock, 5))


def test_a_request_without_a_deadline_gives_up_after_its_patience(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock(utc(3))
    limits = AddressLimits(tmp_path, 10, clock, patience=0.02)
    limits.acquire("candles")
    with in_use(tmp_path / "limits.db"):
        with pytest.raises(OutOfTime, match="not requested"):
            limits.acquire("candles")
        limits.pause("candles", 0.02)
        limits.ban(clock.now() + AN_HOUR)
    assert "the ban until 2026-11-24T04:00:00Z is not stored" in caplog.text
    assert waits(limits, clock) == 0, "a pause that could not begin is over"


def test_a_request_that_the_rate_limit_allows_only_after_its_deadline_fails_at_once(tmp_path: Path) -> None:
    clock = ManualClock(utc(3))
    limits = AddressLimits(tmp_path, 10, clock)
    limits.pause("candles", 6)
    with pytest.raises(OutOfTime, match="the next turn of the group candles comes after the deadline"):
        limits.acquire("candles", Deadline(clock, 5))
    assert clock.slept == []
    assert waits(limits, clock) == 6


def test_of_the_threads_that_wait_for_the_rate_limit_one_reads_the_file(tmp_path: Path) -> None:
    clock = ManualClock(utc(3))
    limits = AddressLimits(tmp_path, 10, clock)
    for _ in range(10):
        limits.acquire("candles")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(limits.acquire, ["candles"] * 8)) == [False] * 8
    assert len(clock.slept) == 1, "the others find the window over"


HOURS = timedelta(hours=9)
AN_HOUR = timedelta(hours=1)


def waits(limits: AddressLimits, clock: ManualClock, group: str = "candles") -> float:
    """Seconds until a request of the group has its turn."""
    before = clock.since_boot()
    limits.acquire(group)
    return clock.since_boot() - before


def end_of_ban(limits: AddressLimits) -> datetime | None:
    try:
        limits.acquire("candles")
    except Banned as banned:
        return banned.until
    return None


@pytest.mark.parametrize("step", [-HOURS, HOURS, timedelta(days=-4000)])
def test_nobody_waits_longer_than_the_window_because_the_clock_was_set(tmp_path: Path, step: timedelta) -> None:
    clock = ManualClock(utc(3))
    limits = AddressLimits(tmp_path, 10, clock)
    for _ in range(10):
        limits.acquire("candles")
    limits.pause("ticker", 1.0)
    clock.step(step)
    assert waits(AddressLimits(tmp_path, 10, clock), clock) == pytest.approx(OUR_WINDOW)
    clock.step(-step)
    limits.obey("market", "group=market; sec=0")
    clock.step(step)
    assert waits(limits, clock, "market") == pytest.approx(1.0)


@pytest.mark.parametrize("step", [-HOURS, HOURS])
def test_a_ban_lasts_as_long_as_it_was_said_whatever_the_clock_says(tmp_path: Path, step: timedelta) -> None:
    clock = ManualClock(utc(3))
    limits = AddressLimits(tmp_path, 10, clock)
    limits.ban(clock.now() + AN_HOUR)
    clock.sleep(600)
    clock.step(step)
    assert end_of_ban(limits) == clock.now() + timedelta(minutes=50)
    clock.sleep(3000)
    assert end_of_ban(AddressLimits(tmp_path, 10, clock)) is None


def test_after_a_reboot_the_rest_of_a_ban_counts_and_never_more_than_the_whole(tmp_path: Path) -> None:
    clock = ManualClock(utc(3))
    AddressLimits(tmp_path, 10, clock).ban(clock.now() + AN_HOUR)
    clock.sleep(600)
    clock.reboot()
    assert end_of_ban(AddressLimits(tmp_path, 10, clock)) == clock.now() + timedelta(minutes=50)
    clock.reboot()
    clock.step(-HOURS)  # the other system of this machine keeps local time
    limits = AddressLimits(tmp_path, 10, clock)
    assert end_of_ban(limits) == clock.now() + timedelta(minutes=50)
    clock.sleep(3000)
    assert end_of_ban(limits) is None


def test_a_longer_ban_is_not_cut_by_a_shorter_one(tmp_path: Path) -> None:
    clock = ManualClock(utc(3))
    limits = AddressLimits(tmp_path, 10, clock)
    limits.ban(clock.now() + AN_HOUR)
    limits.ban(clock.now() + timedelta(minutes=1))
    assert end_of_ban(limits) == utc(4)


def test_during_a_ban_beyond_a_day_one_request_a_day_of_all_processes_checks_it(tmp_path: Path) -> None:
    clock = ManualClock(utc(3))
    limits, other = AddressLimits(tmp_path, 10, clock), AddressLimits(tmp_path, 10, clock)
    forever = clock.now() + timedelta(days=3650)
    limits.ban(forever)
    clock.sleep(24 * 3600 - 1)
    assert end_of_ban(other) == forever
    clock.sleep(1)
    assert other.acquire("ticker") is True
    assert [end_of_ban(each) for each in (limits, other)] == [forever, forever], "one, of all processes"
    clock.sleep(24 * 3600)
    assert limits.acquire("candles") is True
    limits.lift_ban()
    assert other.acquire("candles") is False


def test_a_ban_that_the_release_before_wrote_down_holds(tmp_path: Path) -> None:
    clock = ManualClock(utc(3))
    with closing(sqlite3.connect(tmp_path / "gates.db")) as gates, gates:
        gates.execute("CREATE TABLE gate (name TEXT PRIMARY KEY, until REAL NOT NULL)")
        gates.execute("INSERT INTO gate VALUES ('ban', ?), ('candles', 1e11)", (utc(3, 30).timestamp(),))
    assert end_of_ban(AddressLimits(tmp_path, 10, clock)) == utc(3, 30)
    clock.sleep(1800)
    assert waits(AddressLimits(tmp_path, 10, clock), clock) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["limits.db"]


def test_a_damaged_file_is_replaced_by_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "limits.db").write_bytes(b"zeros after a loss of power" * 100)
    clock = ManualClock(utc(3))
    limits = AddressLimits(tmp_path, 10, clock)
    limits.ban(clock.now() + AN_HOUR)
    assert end_of_ban(limits) == utc(4)


@pytest.mark.parametrize(
    ("seconds", "way"), [(-32400.0, "set back by 32,400 s"), (32400.0, "set forward by 32,400 s"), (3.0, None)]
)
def test_a_clock_that_was_set_is_noticed_by_the_next_request(tmp_path: Path, seconds: float, way: str | None) -> None:
    clock = ManualClock(utc(3))
    limits = AddressLimits(tmp_path, 10, clock)
    assert clock_steps.last_step(tmp_path, clock.now()) is None
    limits.acquire("candles")
    clock.sleep(120)
    clock.step(timedelta(seconds=seconds))
    limits.acquire("candles")
    clock.sleep(120)
    limits.acquire("candles")
    found = clock_steps.last_step(tmp_path, clock.now())
    assert (way in str(found)) if way else (found is None)
    assert clock_steps.last_step(tmp_path, clock.now() + timedelta(days=1)) is None, "it is reported for a day"


def test_a_clock_that_says_less_after_a_reboot_was_set_back(tmp_path: Path) -> None:
    clock = ManualClock(utc(3))
    AddressLimits(tmp_path, 10, clock).acquire("candles")
    clock.reboot()
    clock.step(timedelta(hours=5))  # off for five hours
    AddressLimits(tmp_path, 10, clock).acquire("candles")
    assert clock_steps.last_step(tmp_path, clock.now()) is None
    clock.reboot()
    clock.step(-HOURS)
    AddressLimits(tmp_path, 10, clock).acquire("candles")
    assert "set back by 32,400 s" in str(clock_steps.last_step(tmp_path, clock.now()))
