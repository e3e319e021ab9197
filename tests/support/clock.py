"""A clock that moves only when a test sets it, or when somebody sleeps on it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta


class ManualClock:
    """Starts at a moment (UTC); `sleep` moves it on at once. Calling it gives the time, as the replica wants.

    `set` lets time pass, `suspend` is a laptop that sleeps, `step` is somebody who sets the machine's clock, `reboot`
    starts the machine again.
    """

    def __init__(self, start: datetime) -> None:
        self._now = start
        # Clocks of one test agree, as those of processes do.
        self._up = (start - datetime(2026, 1, 1, tzinfo=UTC)).total_seconds()
        self._boot = "first"
        self._suspended = 0.0
        self._lock = threading.Lock()
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._now

    def __call__(self) -> datetime:
        return self._now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self._now += timedelta(seconds=seconds)
            self._up += seconds

    def since_boot(self) -> float:
        return self._up

    def boot(self) -> str:
        return self._boot

    def monotonic(self) -> float:
        return self._up - self._suspended

    def suspend(self, seconds: float) -> None:
        """The machine sleeps: a process's own clock (CLOCK_MONOTONIC) stands still meanwhile."""
        self._now += timedelta(seconds=seconds)
        self._up += seconds
        self._suspended += seconds

    def set(self, moment: datetime) -> None:
        self._up += (moment - self._now).total_seconds()
        self._now = moment

    def step(self, by: timedelta) -> None:
        self._now += by

    def reboot(self) -> None:
        self._boot, self._up = f"{self._boot} again", 0.0


def utc(hour: int, minute: int = 0, second: int = 0, *, day: int = 24) -> datetime:
    """A moment of November 2026, UTC."""
    return datetime(2026, 11, day, hour, minute, second, tzinfo=UTC)
