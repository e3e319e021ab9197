"""What the watchdog writes down for `./run status`: when it last looked, and what it has restarted and why."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ValidationError

from upbit_elt.clock import SystemClock
from upbit_elt.files import write_atomically
from upbit_elt.stack.health import Check
from upbit_elt.stack.options import StackSettings

OVERDUE = 150.0  # seconds without a look: two of the longest, and the restarts between them

since_boot = SystemClock().since_boot


class Restart(BaseModel):
    """The last restart of one service by the watchdog: when (UTC, ending in Z), why, and how many there were so far."""

    at: str
    why: str
    count: int


class Report(BaseModel):
    """What the watchdog of one start has done; `looked` is in seconds since the machine's boot."""

    looked: float
    restarts: dict[str, Restart] = {}

    def save(self, stack: StackSettings) -> None:
        """Write it down, in place of the one before."""
        write_atomically(_path(stack), self.model_dump_json())


def load(stack: StackSettings) -> Report | None:
    """The newest report; None when there is none that can be read."""
    try:
        return Report.model_validate_json(_path(stack).read_text())
    except (OSError, ValidationError):
        return None


def known(stack: StackSettings) -> dict[str, Restart]:
    """The restarts of this start so far, by service."""
    report = load(stack)
    return report.restarts if report else {}


def forget(stack: StackSettings) -> None:
    """Remove what the watchdog of an earlier start has left."""
    _path(stack).unlink(missing_ok=True)


def watchdog(stack: StackSettings) -> Check:
    """The watchdog has looked at the services lately."""

    def check() -> str | None:
        report = load(stack)
        ago = None if report is None else since_boot() - report.looked
        if ago is None or ago < 0:  # of before a reboot
            return "it has not looked at the services yet"
        return f"it has not looked at the services for {ago:.0f} s" if ago > OVERDUE else None

    return check


def _path(stack: StackSettings) -> Path:
    return stack.run_dir / "watchdog.json"
