"""Soak: the exchange gives a fifth of the markets' prices as text; prints what webhook and Prometheus say of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.chat import SLACK, chat
from tests.support.prometheus import prometheus
from tests.support.recovery import RECOVERS, Say, printer, unknown, verified
from tests.support.stack import STATUS, Stack, wait_for
from upbit_elt.lake.layout import quarantine_folder
from upbit_elt.lake.webhdfs import Lake

pytestmark = [pytest.mark.soak, pytest.mark.timeout(5400)]

ALERT = "QuarantineFull"


def test_a_full_quarantine_is_reported_kept_as_received_and_ends_by_itself(
    stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    say = printer(capsys)
    port = int(stack.variables["UPBIT_RUN_FLASK_PORT"])
    with chat() as there, stack.sends_to(there.url + SLACK), prometheus(tmp_path / "prometheus", port) as running:
        began, clock = datetime.now(UTC), time.monotonic()
        with changed(stack, "candles:0.2=text"):
            wait_for(lambda: any("failed validation" in line for line in there.lines), RECOVERS, every=STATUS)
            say(f"\nwebhook after {time.monotonic() - clock:.0f} s: {there.lines}")
            wait_for(lambda: ALERT in running.firing(), RECOVERS, every=STATUS)
            say(f"alerts after {time.monotonic() - clock:.0f} s: {summaries(running.get('alerts'))}")
            said = stack.run("status").stdout
            say("\n".join(line for line in said.splitlines() if "WRONG" in line))
            reasons(stack, began, say)
        clock = time.monotonic()
        wait_for(lambda: ALERT not in running.firing(), RECOVERS, every=STATUS)
        say(f"the alert is over after {time.monotonic() - clock:.0f} s")
        wait_for(lambda: any(over(line) for line in there.lines), RECOVERS, every=STATUS)
        say(f"the webhook after {time.monotonic() - clock:.0f} s")
        say("\n".join(there.lines))
    span = (began - timedelta(hours=1)).replace(second=0, microsecond=0), began.replace(second=0, microsecond=0)
    wait_for(lambda: not unknown(stack, *span), RECOVERS, every=STATUS)
    verified(stack, say)


def over(line: str) -> bool:
    return "] over after " in line and "failed validation" in line


@contextmanager
def changed(stack: Stack, how: str) -> Iterator[None]:
    """What the replica's outage file says for the block."""
    file = Path(stack.variables["UPBIT_REPLICA_OUTAGE_FILE"])
    whole = file.with_suffix(".new")
    whole.write_text(how)
    os.replace(whole, file)
    try:
        yield
    finally:
        file.unlink()


def summaries(found: dict[str, list[dict[str, dict[str, str]]]]) -> dict[str, str]:
    """What each alert says, by its name."""
    return {one["labels"]["alertname"]: one["annotations"]["summary"] for one in found["alerts"]}


def reasons(stack: Stack, day: datetime, say: Say) -> None:
    """The bad rows are in quarantine as received, as the runbook says."""
    lake = Lake.from_settings(stack.settings)
    folder = quarantine_folder(lake.root, f"{day + timedelta(hours=9):%y%m%d}")
    names = [entry.name for entry in lake.list(folder)]
    first = lake.read(f"{folder}/{names[0]}").decode().splitlines()[0]
    say(f"{folder}: {len(names)} files, the first line of the first: {first}")
    assert '"reason": ' in first
