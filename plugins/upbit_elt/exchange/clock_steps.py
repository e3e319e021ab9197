"""Whether somebody has set this machine's clock: a wall clock that moved otherwise than the machine's own seconds.

A dual boot sets it by the time zone, a resumed virtual machine by its sleep. Nothing is collected wrongly for it (the
exchange's clock decides which minutes are closed), but schedules, leases and logs go by it.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

TOLERANCE = 5.0  # seconds
DRIFT = 0.001  # a clock that is being corrected runs this much faster or slower
KEPT = timedelta(days=1)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS clock (one INTEGER PRIMARY KEY CHECK (one = 1), boot TEXT, up REAL, wall REAL);
CREATE TABLE IF NOT EXISTS clock_step (seconds REAL, wall REAL);
"""
log = logging.getLogger(__name__)


class Step(NamedTuple):
    """The clock was set forward by `seconds` (back when negative); it said `noticed` (UTC) afterwards."""

    seconds: float
    noticed: datetime

    def __str__(self) -> str:
        way = "forward" if self.seconds > 0 else "back"
        seen = f"{self.noticed:%Y-%m-%dT%H:%M:%SZ}"
        return f"this machine's clock was set {way} by {abs(self.seconds):,.0f} s, as was seen at {seen}"


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables."""
    connection.executescript(_SCHEMA)


def notice(connection: sqlite3.Connection, boot: str, up: float, wall: datetime) -> None:
    """Compare the clock (`wall`, UTC) with what it said before, `up` seconds after the start named `boot`."""
    now = wall.timestamp()
    before = connection.execute("SELECT boot, up, wall FROM clock").fetchone()
    connection.execute("INSERT OR REPLACE INTO clock VALUES (1, ?, ?, ?)", (boot, up, now))
    if before is None:
        return
    # How long a machine was off is not known: after a start only a clock that says less than before was set.
    passed = up - before[1] if before[0] == boot else max(0.0, now - before[2])
    step = now - before[2] - passed
    if abs(step) > TOLERANCE + DRIFT * passed:
        connection.execute("DELETE FROM clock_step WHERE wall < ?", (now - KEPT.total_seconds(),))
        connection.execute("INSERT INTO clock_step VALUES (?, ?)", (step, now))
        log.warning("%s", Step(step, wall))


def newest(folder: Path, now: datetime) -> Step | None:
    """The last step of the last day (of `now`, UTC) that a process with its limits in `folder` has noticed."""
    file = folder / "limits.db"
    if not file.exists():
        return None
    try:
        with closing(sqlite3.connect(file, timeout=10)) as connection:
            row = connection.execute("SELECT seconds, wall FROM clock_step ORDER BY rowid DESC LIMIT 1").fetchone()
    except sqlite3.DatabaseError:  # being begun anew
        return None
    found = Step(row[0], datetime.fromtimestamp(row[1], UTC)) if row else None
    return found if found and abs(now - found.noticed) < KEPT else None
