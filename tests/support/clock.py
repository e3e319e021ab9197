"""A clock that moves only when told, or when somebody sleeps on it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta


class ManualClock:
    """Starts at a moment (UTC); `sleep` moves it on at once. Calling it gives the time, as the replica wants."""

    def __init__(self, start: datetime) -> None:
        self._now = start
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

    def monotonic(self) -> float:
        return self._now.timestamp()

    def set(self, moment: datetime) -> None:
        self._now = moment


def utc(hour: int, minute: int = 0, second: int = 0, *, day: int = 24) -> datetime:
    """A moment of November 2026, UTC."""
    return datetime(2026, 11, day, hour, minute, second, tzinfo=UTC)
