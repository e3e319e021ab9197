"""What soak tests check of a stack that was disturbed: is all well again, what was restarted, is a candle missing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from tests.support.stack import Stack, wait_for
from upbit_elt.intervals import Interval, gaps
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality.compare import accounted

RECOVERS = 900.0  # seconds within which a stack has to come back
Say = Callable[[str], None]


def printer(capsys: pytest.CaptureFixture[str]) -> Say:
    """Prints a line past pytest's capture."""

    def line(text: str) -> None:
        with capsys.disabled():
            print(text, flush=True)

    return line


def services(stack: Stack) -> dict[str, Any]:
    """What `./run status` says of each service, by name."""
    return {service["name"]: service for service in stack.status()["services"]}


def well(stack: Stack) -> bool:
    """Whether every service is healthy."""
    return all(service["healthy"] for service in services(stack).values())


def counts(stack: Stack) -> dict[str, int]:
    """Restarts by the watchdog so far, by service."""
    return {name: one["restarted"]["count"] for name, one in services(stack).items() if one["restarted"]}


def verified(stack: Stack, say: Say) -> None:
    """Hive is equal to the replica, once nothing is in the middle of being registered."""

    def words() -> str | None:
        lines = stack.run("exec", "python", "-m", "upbit_elt", "verify").stdout.strip().splitlines()
        return lines[-1] if lines and "lost 0, doubled 0, altered 0, invented 0" in lines[-1] else None

    say(f"verify: {wait_for(words, RECOVERS)}")


def unknown(stack: Stack, start: datetime, end: datetime) -> dict[str, list[Interval]]:
    """Minutes of [start, end) (UTC) that the lake does not account for, by market."""
    known: dict[str, list[Interval]] = {}
    for span in accounted(Lake.from_settings(stack.settings), start, end):
        known.setdefault(span.market, []).append(Interval(span.start, span.end))
    missing = {market: gaps(spans, start, end) for market, spans in known.items()}
    assert missing, "the lake knows of no market"
    return {market: spans for market, spans in missing.items() if spans}
