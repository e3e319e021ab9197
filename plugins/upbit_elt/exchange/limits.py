"""The limits of this machine's address, shared by all its processes through files in one folder.

Rules (docs.upbit.com, rate limits): 10 requests a second and group; `Remaining-Req: ...; sec=0` means wait; 429
means wait; 418 means that the address is blocked until a time that the answer says.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pyrate_limiter import Limiter, Rate, SQLiteBucket

from upbit_elt.clock import Clock
from upbit_elt.errors import Banned

# Upbit's window opens when the first request arrives: a margin for requests that travel at unequal speed.
WINDOW_MS = 1050
# Tickets of the exchange's window, and its length.
TICKETS, WINDOW = 10, timedelta(seconds=1)
_REMAINING = re.compile(r"sec=(\d{1,9})(?!\d)")


class AddressLimits:
    """Turns for requests of one address. `folder` is shared by DAGs, CLI and Flask of the machine."""

    def __init__(self, folder: Path, per_second: int, clock: Clock) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._per_second, self._clock = folder, per_second, clock
        self._limiters: dict[str, Limiter] = {}
        self._lock = threading.Lock()
        with self._gates() as gates:
            gates.execute("CREATE TABLE IF NOT EXISTS gate (name TEXT PRIMARY KEY, until REAL NOT NULL)")

    def acquire(self, group: str) -> None:
        """Return when a request of the group may be sent.

        Raises:
            Banned: the address is blocked; nothing may be sent before `until`.
        """
        while True:
            self.check_ban()
            pause = (self._until(group) - self._clock.now()).total_seconds()
            if pause > 0:
                self._clock.sleep(pause)
                continue
            self._limiter(group).try_acquire(group)
            # The turn may have been long in coming: what others were told meanwhile counts for this request too.
            if max(self._until(group), self._until("ban")) <= self._clock.now():
                return

    def check_ban(self) -> None:
        """Raise Banned while any process of this machine knows of a ban."""
        until = self._until("ban")
        if until > self._clock.now():
            raise Banned(f"the exchange has blocked this address until {until:%Y-%m-%d %H:%M:%S} UTC", until)

    def obey(self, group: str, remaining_req: str | None) -> None:
        """Take the header `Remaining-Req` into account: no ticket left means wait for the next second.

        That second ends one after the answer that took the window's first ticket, if that one came here.
        """
        match = _REMAINING.search(remaining_req or "")
        if not match:
            return
        now = self._clock.now()
        if int(match[1]) == TICKETS - 1:
            self._set(f"{group} window", now)
        elif match[1] == "0":
            opened = self._until(f"{group} window")
            self._set(group, (opened if now - opened < WINDOW else now) + WINDOW)

    def pause(self, group: str, seconds: float) -> None:
        """Let no request of the group start for `seconds`."""
        self._set(group, self._clock.now() + timedelta(seconds=seconds))

    def ban(self, until: datetime) -> None:
        """Let no request at all start before `until` (UTC)."""
        self._set("ban", until)

    def close(self) -> None:
        """Stop the limiters' own threads and close their files."""
        for limiter in self._limiters.values():
            limiter.close()
        self._limiters.clear()

    def _limiter(self, group: str) -> Limiter:
        with self._lock:
            if group not in self._limiters:
                path = str(self._folder / f"rate_{group}.db")
                bucket = SQLiteBucket.init_from_file(
                    [Rate(self._per_second, WINDOW_MS)], db_path=path, use_file_lock=True
                )
                self._limiters[group] = Limiter(bucket)
            return self._limiters[group]

    @contextmanager
    def _gates(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._folder / "gates.db", timeout=10)) as connection, connection:
            yield connection

    def _until(self, name: str) -> datetime:
        with self._gates() as gates:
            row = gates.execute("SELECT until FROM gate WHERE name = ?", (name,)).fetchone()
        return datetime.fromtimestamp(row[0] if row else 0, UTC)

    def _set(self, name: str, until: datetime) -> None:
        with self._gates() as gates:
            gates.execute(
                "INSERT INTO gate VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET until = max(until, excluded.until)",
                (name, until.timestamp()),
            )
