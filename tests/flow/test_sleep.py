"""Soak: a stack on a laptop that sleeps, for three minutes and for an hour; prints the seconds until all is well.

The exchange does not sleep. What the machine missed of it is there afterwards.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from tests.support.recovery import RECOVERS, counts, printer, services, unknown, verified, well
from tests.support.stack import STATUS, Stack, utc_of, wait_for
from upbit_elt.stack import processes

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]


@pytest.mark.parametrize("seconds", [180.0, 3600.0], ids=["three-minutes", "an-hour"])
def test_after_a_sleep_nothing_was_restarted_and_what_was_missed_is_there(
    stack: Stack, capsys: pytest.CaptureFixture[str], seconds: float
) -> None:
    say = printer(capsys)
    wait_for(lambda: well(stack), RECOVERS, every=STATUS)
    before, pids = counts(stack), {name: one["pid"] for name, one in services(stack).items()}
    fell_asleep = datetime.now(UTC).replace(second=0, microsecond=0)
    with asleep(stack):
        say(f"\nasleep since {datetime.now(UTC):%H:%M:%S}")
        time.sleep(seconds)  # the pause itself
    woke, began = datetime.now(UTC).replace(second=0, microsecond=0), time.monotonic()
    wait_for(lambda: well(stack), RECOVERS, every=STATUS)
    say(f"paused for {seconds:.0f} s: all healthy after {time.monotonic() - began:.0f} s more")

    def caught_up() -> bool:
        covered = stack.status()["covered_until"]
        return covered is not None and utc_of(covered) >= woke

    wait_for(caught_up, RECOVERS, every=STATUS)
    say(f"covered past its end after {time.monotonic() - began:.0f} s")
    wait_for(lambda: not unknown(stack, fell_asleep, woke), RECOVERS, every=STATUS)
    say(f"every market's minutes of the pause are known after {time.monotonic() - began:.0f} s")
    assert counts(stack) == before
    assert {name: one["pid"] for name, one in services(stack).items()} == pids
    verified(stack, say)


@contextmanager
def asleep(stack: Stack) -> Iterator[None]:
    """Every process of the stack stopped for the block, but the exchange."""
    exchange = services(stack)["replica"]["pid"]
    found = [one for one in processes.members(Path(stack.variables["UPBIT_RUN_DATA_DIR"])) if one.pid != exchange]
    each(found, signal.SIGSTOP)
    try:
        yield
    finally:
        each(found, signal.SIGCONT)


def each(found: list[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to each that is still there."""
    for process in found:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)
