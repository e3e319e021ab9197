"""Soak: every service of a stack frozen in turn; prints the seconds until all is well."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.support.recovery import RECOVERS, counts, printer, services, verified, well
from tests.support.stack import Stack, wait_for

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]


def test_each_service_that_is_frozen_is_restarted_and_nothing_is_lost(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    say = printer(capsys)
    names = [name for name in services(stack) if name != "watchdog"]
    for done, name in enumerate(names):
        before = services(stack)[name]["pid"]
        os.kill(before, signal.SIGSTOP)
        began = time.monotonic()
        wait_for(lambda name=name, before=before: services(stack)[name]["pid"] not in (None, before), RECOVERS)  # type: ignore[misc]
        wait_for(lambda name=name: name in counts(stack) and well(stack), RECOVERS)  # type: ignore[misc]
        say(
            f"frozen {name:22} all healthy after {time.monotonic() - began:.0f} s: {services(stack)[name]['restarted']}"
        )
        assert counts(stack) == dict.fromkeys(names[: done + 1], 1), "no other service was ended"
    verified(stack, say)
