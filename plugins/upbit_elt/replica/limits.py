"""The exchange's rate limits: 10 requests a second, status 429 beyond that, 418 (a ban) for clients that continue.

The window is the best fit to 2,746 recorded requests: the first request opens it, it is 1 s long, and admits 10. Upbit
does not publish what leads to a ban; here it is 30 times 429 without a pause of 2 s (75 scattered ones led to none).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import NamedTuple

Clock = Callable[[], datetime]
TICKETS, WINDOW = 10, timedelta(seconds=1)
ORIGIN_TICKETS, ORIGIN_WINDOW = 1, timedelta(seconds=10)  # requests with an Origin header, as browsers send
PATIENCE, PAUSE = 30, timedelta(seconds=2)
FIRST_BAN, LONGEST_BAN = timedelta(minutes=1), timedelta(hours=1)
FORGIVEN = timedelta(hours=24)  # after this time without a ban the next one is short again


class Admission(NamedTuple):
    """Whether a request is admitted: `status` 200, 429 or 418; requests left in the window; time until the ban ends."""

    status: int
    remaining: int = 0
    banned_for: timedelta = timedelta(0)


@dataclass(slots=True)
class _Window:
    opened: datetime
    used: int


@dataclass(slots=True)
class _Record:
    """How often an address exceeded the limits, and its bans."""

    refusals: int = 0
    last_refusal: datetime | None = None
    bans: int = 0
    banned_until: datetime | None = None


class Limiter:
    """Counts requests per client address and group. Safe to share between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[tuple[str, str], _Window] = {}
        self._records: dict[str, _Record] = {}
        self._lock = Lock()

    def admit(self, address: str, group: str) -> Admission:
        """Count a request, and say whether it is admitted. A ban applies to all groups of the address."""
        with self._lock:
            now = self._clock()
            record = self._records.setdefault(address, _Record())
            if record.banned_until and now < record.banned_until:
                return Admission(418, banned_for=record.banned_until - now)
            left = self._take(address, group, now)
            return Admission(200, left) if left >= 0 else self._refuse(record, now)

    def _take(self, address: str, group: str, now: datetime) -> int:
        """Requests left in the window after this one; -1 if there was none left."""
        tickets, length = (ORIGIN_TICKETS, ORIGIN_WINDOW) if group == "origin" else (TICKETS, WINDOW)
        window = self._windows.get((address, group))
        if window is None or now - window.opened >= length:
            window = self._windows[address, group] = _Window(now, 0)
        if window.used == tickets:
            return -1
        window.used += 1
        return tickets - window.used

    def _refuse(self, record: _Record, now: datetime) -> Admission:
        pausing = record.last_refusal is None or now - record.last_refusal >= PAUSE
        record.refusals = 1 if pausing else record.refusals + 1
        record.last_refusal = now
        if record.refusals <= PATIENCE:
            return Admission(429)
        if record.banned_until and now - record.banned_until >= FORGIVEN:
            record.bans = 0
        ban = min(FIRST_BAN * 2**record.bans, LONGEST_BAN)
        record.bans, record.refusals, record.banned_until = record.bans + 1, 0, now + ban
        return Admission(418, banned_for=ban)
