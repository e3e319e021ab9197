"""The exchange's limits for this machine's address, shared by all its processes through a file in one folder.

The rules (docs.upbit.com, rate limits): at most 10 requests a second in each group; `Remaining-Req: ...; sec=0` means
wait; 429 means wait; 418 means that the address is blocked until a time that the response names.

Every wait is measured from the machine's start (see MachineClock), so that setting the clock makes no wait longer or
shorter. After a reboot the rest of a wait is measured by the clock, and is never longer than the whole wait.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import TIMEOUT_MAX, Lock
from typing import NamedTuple

from upbit_elt import state_file
from upbit_elt.clock import Deadline, MachineClock
from upbit_elt.errors import Banned, OutOfTime, StateBusy
from upbit_elt.exchange import clock_steps
from upbit_elt.state_file import opened

# Seconds for which we count requests; more than Upbit's window, as requests take different times to arrive.
OUR_WINDOW = 1.05
# How many requests the exchange's window allows, and its length in seconds.
TICKETS, WINDOW = 10, 1.0
# During a longer ban, one request in this time (seconds) probes whether it still holds.
PROBE_EVERY = 24 * 3600.0
# Seconds that a request waits for other processes to let go of the file. SQLite looks every 0.1 s, in no order, so that
# on a very busy machine one process may wait for long: 10 s were too few beside 48 processes on two cores.
PATIENCE = 60.0
_REMAINING = re.compile(r"sec=(\d{1,9})(?!\d)")
_SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS wait (name TEXT PRIMARY KEY, boot TEXT, up REAL, wall REAL, seconds REAL);
CREATE TABLE IF NOT EXISTS sent (kind TEXT, boot TEXT, up REAL);
CREATE INDEX IF NOT EXISTS sent_up ON sent (kind, up);
"""
    + clock_steps.SCHEMA
)
log = logging.getLogger(__name__)


class AddressLimits:
    """Decides when requests of one address may be sent. `folder` is shared by DAGs, CLI and Flask of the machine.

    Every method raises StateUnavailable when the file cannot be read or written: nothing may be sent then. A file that
    other processes use is waited for, `patience` seconds at most; what then, each method says.
    """

    def __init__(self, folder: Path, per_second: int, clock: MachineClock, patience: float = PATIENCE) -> None:
        self._file, self._per_second, self._clock, self._patience = folder / "limits.db", per_second, clock, patience
        # Of the threads that want to send in a group one looks into the file, and the others wait for that one.
        self._turns: defaultdict[str, Lock] = defaultdict(Lock)
        self._take_over(folder)

    def acquire(self, group: str, deadline: Deadline | None = None) -> bool:
        """Wait until a request of the group may be sent; True when it is the one that probes whether a ban still holds.

        Raises:
            Banned: the address is blocked; nothing may be sent.
            OutOfTime: the request's turn does not come before the deadline, or other processes do not let go of the
                file. Nothing may be sent.
        """
        deadline = deadline or Deadline(self._clock, float("inf"))
        slot = self._turns[group]
        if not slot.acquire(timeout=min(deadline.left, TIMEOUT_MAX)):
            raise OutOfTime(f"not requested: other requests of the group {group} had their turns until the deadline")
        try:
            return self._acquired(group, deadline)
        except StateBusy as busy:
            raise OutOfTime(f"not requested: {busy}") from busy
        finally:
            slot.release()

    def obey(self, group: str, remaining_req: str | None) -> None:
        """Obey the header `Remaining-Req` of a response: when no request is left, wait for the end of the window.

        The window ends WINDOW seconds after the response to its first request, if that one was sent from here.
        """
        match = _REMAINING.search(remaining_req or "")
        if not match or int(match[1]) not in (0, TICKETS - 1):
            return
        with suppress(StateBusy), self._open_waits(WINDOW) as waits:  # busy for so long: the window is over
            if int(match[1]):
                waits.wait(f"{group} window", WINDOW)
            else:
                waits.wait_longer(group, waits.left(f"{group} window") or WINDOW)

    def pause(self, group: str, seconds: float) -> None:
        """Allow no request of the group for `seconds`."""
        with suppress(StateBusy), self._open_waits(seconds) as waits:  # busy for so long: the pause is over
            waits.wait_longer(group, seconds)

    def ban(self, until: datetime) -> None:
        """Allow no request at all before `until` (UTC), except probes of a ban longer than PROBE_EVERY.

        While other processes do not let go of the file, the ban is only logged: each of them gets its own 418.
        """
        with _unless_busy(f"the ban until {until:%Y-%m-%dT%H:%M:%SZ} is not stored"), self._open_waits() as waits:
            waits.wait_longer("ban", (until - self._clock.now()).total_seconds())
            waits.wait("probe", PROBE_EVERY)

    def ban_left(self) -> float:
        """The seconds until the exchange's ban of this address ends, 0 without a ban. Raises StateBusy soon."""
        with self._open_waits(state_file.PATIENCE) as waits:
            return waits.left("ban")

    def lift_ban(self) -> None:
        """End the ban; called when the exchange has answered a probe."""
        with _unless_busy("the ban's end is not stored, the next probe ends it"), self._open_waits() as waits:
            waits.forget("ban")
            waits.forget("probe")

    def _acquired(self, group: str, deadline: Deadline) -> bool:
        while True:
            with self._open_waits(min(self._patience, deadline.left)) as waits:
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
            if pause > deadline.left:
                raise OutOfTime(f"not requested: the next turn of the group {group} comes after the deadline")
            self._clock.sleep(pause)

    def _banned(self, waits: _WaitTable) -> Banned | None:
        """The error for a request during a ban; None without a ban, and when a probe is due."""
        left, probe = waits.left("ban"), waits.left("probe")
        if not left or not probe:
            return None
        now = self._clock.now()
        until = now + timedelta(seconds=left)
        words = f"the exchange has blocked this address until {until:%Y-%m-%d %H:%M:%S} UTC"
        if probe < left:
            words += f"; at {now + timedelta(seconds=probe):%Y-%m-%d %H:%M:%S} one request probes whether it still does"
        return Banned(words, until)

    def _take_over(self, folder: Path) -> None:
        """Take over the ban that an earlier release stored in files of another form, and remove these."""
        old, taken = folder / "gates.db", folder / "gates.db.taken"
        try:
            old.rename(taken)  # one of several processes succeeds
        except FileNotFoundError:
            return
        try:
            with closing(sqlite3.connect(taken)) as gates:
                row = gates.execute("SELECT until FROM gate WHERE name = 'ban'").fetchone()
        except sqlite3.DatabaseError as error:
            log.warning("%s cannot be read, so a ban stored in it is lost: %s", old, error)
            row = None
        left = row[0] - self._clock.now().timestamp() if row else 0.0
        if left > 0:
            self.ban(self._clock.now() + timedelta(seconds=min(left, PROBE_EVERY)))
        for stale in [taken, *folder.glob("rate_*.db*")]:
            stale.unlink(missing_ok=True)

    @contextmanager
    def _open_waits(self, patience: float | None = None) -> Iterator[_WaitTable]:
        """Open the file for one process at a time; the block is one transaction.

        Raises:
            StateBusy: other processes use the file for `patience` seconds (None: for those of this object).
            StateUnavailable: it cannot be read or written.
        """
        with opened(self._file, _SCHEMA, self._patience if patience is None else patience) as connection:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                moment = _Moment(self._clock.boot(), self._clock.since_boot(), self._clock.now())
                clock_steps.notice(connection, *moment)
                yield _WaitTable(connection, moment)


@contextmanager
def _unless_busy(words: str) -> Iterator[None]:
    """Log `words` when the block finds the file in use by other processes all the time."""
    try:
        yield
    except StateBusy as busy:
        log.warning("%s: %s", words, busy)


class _Moment(NamedTuple):
    boot: str
    up: float
    wall: datetime


class _WaitTable:
    """The stored waits and requests, seen at one moment. All times are in seconds."""

    def __init__(self, connection: sqlite3.Connection, moment: _Moment) -> None:
        self._connection = connection
        self._boot, self._up, self._wall = moment.boot, moment.up, moment.wall.timestamp()

    def left(self, name: str) -> float:
        """The rest of a wait, 0 when it is over or there is none."""
        row = self._connection.execute("SELECT boot, up, wall, seconds FROM wait WHERE name = ?", (name,)).fetchone()
        if row is None:
            return 0.0
        boot, up, wall, seconds = row
        passed = self._up - up if boot == self._boot else self._wall - wall
        left = float(max(0.0, min(seconds, seconds - passed)))
        if boot != self._boot or passed < 0:  # from now on measured from this start of the machine
            self.wait(name, left)
        return left

    def wait(self, name: str, seconds: float) -> None:
        """Begin a wait now; replaces one of the same name."""
        row = (name, self._boot, self._up, self._wall, seconds)
        self._connection.execute("INSERT OR REPLACE INTO wait VALUES (?, ?, ?, ?, ?)", row)

    def wait_longer(self, name: str, seconds: float) -> None:
        """Begin a wait now, unless the one of the same name ends later."""
        if seconds > self.left(name):
            self.wait(name, seconds)

    def forget(self, name: str) -> None:
        """End a wait."""
        self._connection.execute("DELETE FROM wait WHERE name = ?", (name,))

    def seconds_to_wait(self, group: str, per_second: int) -> float:
        """How long until the group may send its next request, 0 when it may now."""
        oldest = self._connection.execute(
            "SELECT up FROM sent WHERE kind = ? AND boot = ? AND up > ? AND up <= ? ORDER BY up DESC LIMIT 1 OFFSET ?",
            (group, self._boot, self._up - OUR_WINDOW, self._up, per_second - 1),
        ).fetchone()
        return float(oldest[0]) + OUR_WINDOW - self._up if oldest else 0.0

    def send(self, group: str) -> None:
        """Store a request, and delete those before the window."""
        self._connection.execute(
            "DELETE FROM sent WHERE kind = ? AND (boot <> ? OR up <= ? OR up > ?)",
            (group, self._boot, self._up - OUR_WINDOW, self._up),
        )
        self._connection.execute("INSERT INTO sent VALUES (?, ?, ?)", (group, self._boot, self._up))
