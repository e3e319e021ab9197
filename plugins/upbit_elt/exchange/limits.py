"""The limits of this machine's address, shared by all its processes through a file in one folder.

Rules (docs.upbit.com, rate limits): 10 requests a second and group; `Remaining-Req: ...; sec=0` means wait; 429
means wait; 418 means that the address is blocked until a time that the answer says.

Every wait is measured from the machine's start (see MachineClock), so that nobody waits longer, or shorter, because
somebody has set the clock. After a reboot what is left counts by the clock, and never more than the whole.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from upbit_elt.clock import MachineClock
from upbit_elt.errors import Banned, StateUnavailable
from upbit_elt.exchange import clock_steps

# Upbit's window opens when the first request arrives: a margin for requests that travel at unequal speed.
OUR_WINDOW = 1.05
# Tickets of the exchange's window, and its length in seconds.
TICKETS, WINDOW = 10, 1.0
# A ban that says more is not believed for ever: one request in this time (seconds) looks whether it still holds.
PROBE_EVERY = 24 * 3600.0
_REMAINING = re.compile(r"sec=(\d{1,9})(?!\d)")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS wait (name TEXT PRIMARY KEY, boot TEXT, up REAL, wall REAL, seconds REAL);
CREATE TABLE IF NOT EXISTS sent (kind TEXT, boot TEXT, up REAL);
CREATE INDEX IF NOT EXISTS sent_up ON sent (kind, up);
"""
log = logging.getLogger(__name__)


class AddressLimits:
    """Turns for requests of one address. `folder` is shared by DAGs, CLI and Flask of the machine."""

    def __init__(self, folder: Path, per_second: int, clock: MachineClock) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file, self._per_second, self._clock = folder / "limits.db", per_second, clock
        try:
            self._prepare()
        except sqlite3.OperationalError as error:
            raise self._unavailable(error) from error
        except sqlite3.DatabaseError as error:
            log.warning("%s is damaged and is begun anew: %s", self._file, error)
            self._file.unlink(missing_ok=True)
            self._prepare()
        self._take_over(folder)

    def acquire(self, group: str) -> bool:
        """Return when a request of the group may be sent; True when it is the one that looks whether a ban still holds.

        Raises:
            Banned: the address is blocked; nothing may be sent.
        """
        while True:
            with self._open_waits() as waits:
                banned = self._banned(waits)
                probing = banned is None and waits.left("ban") > 0
                pause = max(waits.left(group), waits.seconds_to_wait(group, self._per_second))
                if banned is None and not pause:
                    waits.send(group)
                    if probing:
                        waits.wait("probe", PROBE_EVERY)
                    return probing
            if banned:
                raise banned
            self._clock.sleep(pause)

    def obey(self, group: str, remaining_req: str | None) -> None:
        """Take the header `Remaining-Req` into account: no ticket left means wait for the next second.

        That second ends one after the answer that took the window's first ticket, if that one came here.
        """
        match = _REMAINING.search(remaining_req or "")
        if not match or int(match[1]) not in (0, TICKETS - 1):
            return
        with self._open_waits() as waits:
            if int(match[1]):
                waits.wait(f"{group} window", WINDOW)
            else:
                waits.wait_longer(group, waits.left(f"{group} window") or WINDOW)

    def pause(self, group: str, seconds: float) -> None:
        """Let no request of the group start for `seconds`."""
        with self._open_waits() as waits:
            waits.wait_longer(group, seconds)

    def ban(self, until: datetime) -> None:
        """Let no request at all start before `until` (UTC); of a ban beyond a day see PROBE_EVERY."""
        with self._open_waits() as waits:
            waits.wait_longer("ban", (until - self._clock.now()).total_seconds())
            waits.wait("probe", PROBE_EVERY)

    def ban_left(self) -> float:
        """Seconds for which the exchange has blocked this address, 0 when it has not."""
        with self._open_waits() as waits:
            return waits.left("ban")

    def lift_ban(self) -> None:
        """The exchange has answered: no ban holds any more."""
        with self._open_waits() as waits:
            waits.forget("ban")
            waits.forget("probe")

    def _banned(self, waits: _WaitTable) -> Banned | None:
        """The error of a request that a ban forbids; None without a ban, and for the day's one probe of it."""
        left, probe = waits.left("ban"), waits.left("probe")
        if not left or not probe:
            return None
        now = self._clock.now()
        until = now + timedelta(seconds=left)
        words = f"the exchange has blocked this address until {until:%Y-%m-%d %H:%M:%S} UTC"
        if probe < left:
            words += f"; at {now + timedelta(seconds=probe):%Y-%m-%d %H:%M:%S} one request looks whether it still does"
        return Banned(words, until)

    def _prepare(self) -> None:
        with closing(self._connected()) as connection:
            connection.executescript(_SCHEMA)
            clock_steps.prepare(connection)

    def _take_over(self, folder: Path) -> None:
        """The ban that the release before wrote down, in files that nobody reads any more."""
        old, mine = folder / "gates.db", folder / "gates.db.taken"
        try:
            old.rename(mine)  # of several processes, one succeeds
        except FileNotFoundError:
            return
        try:
            with closing(sqlite3.connect(mine)) as gates:
                row = gates.execute("SELECT until FROM gate WHERE name = 'ban'").fetchone()
        except sqlite3.DatabaseError as error:
            log.warning("%s cannot be read; a ban in it is not known: %s", old, error)
            row = None
        left = row[0] - self._clock.now().timestamp() if row else 0.0
        if left > 0:
            self.ban(self._clock.now() + timedelta(seconds=min(left, PROBE_EVERY)))
        for stale in [mine, *folder.glob("rate_*.db*")]:
            stale.unlink(missing_ok=True)

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._file, timeout=10, isolation_level=None)
        connection.execute("PRAGMA synchronous = OFF")  # what a loss of power takes is begun anew
        return connection

    @contextmanager
    def _open_waits(self) -> Iterator[_WaitTable]:
        """One process at a time; what is written in the block is there for all at its end, or not at all."""
        try:
            with closing(self._connected()) as connection:
                connection.execute("BEGIN IMMEDIATE")
                with connection:
                    moment = _Moment(self._clock.boot(), self._clock.since_boot(), self._clock.now())
                    clock_steps.notice(connection, *moment)
                    yield _WaitTable(connection, moment)
        except sqlite3.OperationalError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: sqlite3.OperationalError) -> StateUnavailable:
        return StateUnavailable(f"{self._file} cannot be written ({error}): is the disk full? The next run goes on")


class _Moment(NamedTuple):
    boot: str
    up: float
    wall: datetime


class _WaitTable:
    """Waits and requests as they are written down, seen at one moment. Seconds everywhere."""

    def __init__(self, connection: sqlite3.Connection, moment: _Moment) -> None:
        self._connection = connection
        self._boot, self._up, self._wall = moment.boot, moment.up, moment.wall.timestamp()

    def left(self, name: str) -> float:
        """What is left of a wait, 0 when it is over."""
        row = self._connection.execute("SELECT boot, up, wall, seconds FROM wait WHERE name = ?", (name,)).fetchone()
        if row is None:
            return 0.0
        boot, up, wall, seconds = row
        passed = self._up - up if boot == self._boot else self._wall - wall
        left = float(max(0.0, min(seconds, seconds - passed)))
        if boot != self._boot or passed < 0:  # from now on this start of the machine counts
            self.wait(name, left)
        return left

    def wait(self, name: str, seconds: float) -> None:
        """Begin a wait now, whatever was."""
        row = (name, self._boot, self._up, self._wall, seconds)
        self._connection.execute("INSERT OR REPLACE INTO wait VALUES (?, ?, ?, ?, ?)", row)

    def wait_longer(self, name: str, seconds: float) -> None:
        """Begin a wait now, unless one that ends later is under way."""
        if seconds > self.left(name):
            self.wait(name, seconds)

    def forget(self, name: str) -> None:
        """End a wait."""
        self._connection.execute("DELETE FROM wait WHERE name = ?", (name,))

    def seconds_to_wait(self, group: str, per_second: int) -> float:
        """How long until the group has a turn, 0 when it has."""
        oldest = self._connection.execute(
            "SELECT up FROM sent WHERE kind = ? AND boot = ? AND up > ? AND up <= ? ORDER BY up DESC LIMIT 1 OFFSET ?",
            (group, self._boot, self._up - OUR_WINDOW, self._up, per_second - 1),
        ).fetchone()
        return float(oldest[0]) + OUR_WINDOW - self._up if oldest else 0.0

    def send(self, group: str) -> None:
        """Write a request down, and forget those of other windows."""
        self._connection.execute(
            "DELETE FROM sent WHERE kind = ? AND (boot <> ? OR up <= ? OR up > ?)",
            (group, self._boot, self._up - OUR_WINDOW, self._up),
        )
        self._connection.execute("INSERT INTO sent VALUES (?, ?, ?)", (group, self._boot, self._up))
