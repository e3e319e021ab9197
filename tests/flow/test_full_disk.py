"""Soak: a stack's disk is filled to the last byte and freed; prints what says so and the seconds until all is well."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.chat import SLACK, Chat, chat
from tests.support.ports import stack_ports
from tests.support.recovery import RECOVERS, Say, counts, printer, services, unknown, verified, well
from tests.support.small_disk import filled, small_disk
from tests.support.stack import STATUS, Stack, utc_of, wait_for
from upbit_elt.stack.names import variable

pytestmark = [pytest.mark.soak, pytest.mark.timeout(5400)]

SIZE = 3_000_000_000
FULL = timedelta(minutes=4)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, SIZE) as there:
        yield there


@pytest.fixture
def small(disk: Path, shared_jars: Path) -> Iterator[Stack]:
    """A stack whose data lies on a small disk of its own."""
    variables = {
        "UPBIT_RUN_DATA_DIR": str(disk / "data"),
        "UPBIT_RUN_JARS_DIR": str(shared_jars),
        "UPBIT_ELT_HISTORY_DAYS": "0",
    }
    running = Stack(variables | {variable(name): str(port) for name, port in stack_ports().items()})
    try:
        running.start()
        yield running
    finally:
        running.run("stop")


def test_a_full_disk_is_said_and_when_it_is_freed_all_comes_back(
    small: Stack, disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    say = printer(capsys)
    with chat() as there, small.sends_to(there.url + SLACK):
        began, pids = datetime.now(UTC), {name: one["pid"] for name, one in services(small).items()}
        with filled(disk):
            say(f"\nfull since {began:%H:%M:%S}")
            wait_out(small, say)
            for command in ("status", "doctor"):
                done = small.run(command)
                say(f"./run {command} ends with {done.returncode}:\n{done.stdout}{done.stderr}")
                assert done.returncode, command
                assert "GB are free for" in done.stdout, command
            say(f"webhook: {there.lines}")
            assert any("of the disk of" in line for line in there.lines)
        recovers(small, there, began, say)
    after = {name: one["pid"] for name, one in services(small).items()}
    say(f"restarted: {[name for name in pids if after[name] != pids[name]]}; by the watchdog: {counts(small)}")
    verified(small, say)


def recovers(stack: Stack, there: Chat, began: datetime, say: Say) -> None:
    """Wait until all is as before, and print after how many seconds each thing was."""
    freed, clock = minute(datetime.now(UTC)), time.monotonic()

    def caught_up() -> bool:
        covered = stack.status()["covered_until"]
        return covered is not None and utc_of(covered) >= freed

    for words, condition in {
        "all services are healthy": lambda: well(stack),
        "a run covers the time when it was freed": caught_up,
        "every minute is known": lambda: not unknown(stack, minute(began) - timedelta(hours=1), freed),
        "no DAG fails": lambda: stack.status()["errors"] == [],
        "the webhook has said that all is over": lambda: is_over(there.lines),
    }.items():
        wait_for(condition, RECOVERS, every=STATUS)
        say(f"{words} {time.monotonic() - clock:.0f} s after the disk was freed")
    say("\n".join(there.lines))


def is_over(lines: list[str]) -> bool:
    """Whether each line has its `over after ...: LINE`."""
    ended = [line for line in lines if "] over after " in line]
    return len(ended) * 2 == len(lines)


def minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def wait_out(stack: Stack, say: Say) -> None:
    """Print the new log lines of each service while the disk is full."""
    ends, before = time.monotonic() + FULL.total_seconds(), dict[str, str | None]()
    while time.monotonic() < ends:
        now = {name: one["trouble"] for name, one in services(stack).items()}
        for name, words in now.items():
            if before.get(name) != words:
                say(f"{datetime.now(UTC):%H:%M:%S} {name}: {words or 'healthy'}")
        before = now
        time.sleep(STATUS)
