"""Soak: every service of a stack frozen in turn, then all of them for three minutes; prints the seconds to heal."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.stack import Stack, wait_for
from upbit_elt.stack import processes

pytestmark = [pytest.mark.soak, pytest.mark.timeout(5400)]

PAUSE = 180.0
HEALS = 900.0
Say = Callable[[str], None]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Prints past pytest's capture."""

    def line(text: str) -> None:
        with capsys.disabled():
            print(text, flush=True)

    return line


def services(stack: Stack) -> dict[str, Any]:
    return {service["name"]: service for service in stack.status()["services"]}


def well(stack: Stack) -> bool:
    return all(service["healthy"] for service in services(stack).values())


def counts(stack: Stack) -> dict[str, int]:
    """Restarts by the watchdog so far."""
    return {name: one["restarted"]["count"] for name, one in services(stack).items() if one["restarted"]}


def test_each_service_that_is_frozen_is_restarted_and_nothing_is_lost(stack: Stack, say: Say) -> None:
    names = [name for name in services(stack) if name != "watchdog"]
    for done, name in enumerate(names):
        before = services(stack)[name]["pid"]
        os.kill(before, signal.SIGSTOP)
        began = time.monotonic()
        wait_for(lambda name=name, before=before: services(stack)[name]["pid"] not in (None, before), HEALS)  # type: ignore[misc]
        wait_for(lambda name=name: name in counts(stack) and well(stack), HEALS)  # type: ignore[misc]
        say(
            f"frozen {name:22} all healthy after {time.monotonic() - began:.0f} s: {services(stack)[name]['restarted']}"
        )
        assert counts(stack) == dict.fromkeys(names[: done + 1], 1), "no other service was ended"
    verified(stack, say)


def test_a_pause_of_everything_restarts_nothing(stack: Stack, say: Say) -> None:
    before, pids = counts(stack), {name: one["pid"] for name, one in services(stack).items()}
    everything = processes.members(Path(stack.variables["UPBIT_RUN_DATA_DIR"]))
    each(everything, signal.SIGSTOP)
    try:
        time.sleep(PAUSE)  # the pause itself
    finally:
        each(everything, signal.SIGCONT)
    began = time.monotonic()
    wait_for(lambda: well(stack), HEALS)
    say(f"paused for {PAUSE:.0f} s: all healthy after {time.monotonic() - began:.0f} s more")
    assert counts(stack) == before
    assert {name: one["pid"] for name, one in services(stack).items()} == pids
    verified(stack, say)


def each(found: list[psutil.Process], number: signal.Signals) -> None:
    for process in found:
        if process.is_running():
            os.kill(process.pid, number)


def verified(stack: Stack, say: Say) -> None:
    """Hive is equal to the replica, once nothing is in the middle of being registered."""

    def words() -> str | None:
        last = stack.run("exec", "python", "-m", "upbit_elt", "verify").stdout.strip().splitlines()[-1]
        return last if "lost 0, doubled 0, altered 0, invented 0" in last else None

    say(f"verify: {wait_for(words, HEALS)}")
