"""The clock that waiting code is given, so that tests turn it by hand instead of waiting."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """What this machine's clock says, and waiting on it."""

    def now(self) -> datetime:
        """The current time, UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment of this process; nobody can set them back."""
        ...

    def since_boot(self) -> float:
        """Seconds for which this machine has been on, asleep or awake: the same in all its processes, never set."""
        ...


class MachineClock(Clock, Protocol):
    """A clock whose seconds since the machine's start can be written down for other processes, and for later."""

    def boot(self) -> str:
        """A name of the start that `since_boot` counts from."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The current time, UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        time.sleep(seconds)

    def monotonic(self) -> float:
        """Seconds since some moment of this process; nobody can set them back."""
        return time.monotonic()

    def since_boot(self) -> float:
        """Seconds for which this machine has been on, asleep or awake: the same in all its processes, never set."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot(self) -> str:
        """A name of the start that `since_boot` counts from."""
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Deadline:
    """The end of a time that begins now, whatever happens to the machine's clock meanwhile."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock, self._end = clock, clock.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left, 0 when it is over."""
        return max(0.0, self._end - self._clock.monotonic())
