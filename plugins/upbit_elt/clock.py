"""The clock that code with waits takes as an argument, so that tests can set it instead of waiting."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """The time of a machine, and waiting."""

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
    """A clock whose `since_boot` can be stored for other processes and for later, together with `boot`."""

    def boot(self) -> str:
        """A name of the start that `since_boot` counts from."""
        ...


class SystemClock:
    """The clock of this machine."""

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
    """The end of a time limit that begins now; changes of the machine's clock do not affect it."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock, self._end = clock, clock.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that remain, 0 when the time is over."""
        return max(0.0, self._end - self._clock.monotonic())
