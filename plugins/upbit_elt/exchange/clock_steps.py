"""Detect that this machine's clock was set: its wall clock moved by another amount than its monotonic clock.

A dual boot shifts it by the time zone, a resumed virtual machine by its sleep. The candles stay right (the exchange's
clock decides which minutes are closed), but schedules, leases and logs depend on it.
"""

from __future__ import annotations

import logging
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from upbit_elt.errors import StateUnavailable
from upbit_elt.state_file import opened

TOLERANCE = 5.0  # seconds
DRIFT = 0.001  # a clock in correction runs faster or slower by this share
REMEMBERED = timedelta(days=1)
SCHEMA = """
CREATE TABLE IF NOT EXISTS clock (one INTEGER PRIMARY KEY CHECK (one = 1), boot TEXT, up REAL, wall REAL);
CREATE TABLE IF NOT EXISTS clock_step (seconds REAL, wall REAL);
"""
log = logging.getLogger(__name__)


class Step(NamedTuple):
    """The clock was set forward by `seconds` (back when negative); it was at `noticed` (UTC) afterwards."""

    seconds: float
    noticed: datetime

    def __str__(self) -> str:
        way = "forward" if self.seconds > 0 else "back"
        seen = f"{self.noticed:%Y-%m-%dT%H:%M:%SZ}"
        return f"this machine's clock was set {way} by {abs(self.seconds):,.0f} s, as was seen at {seen}"


def notice(connection: sqlite3.Connection, boot: str, up: float, wall: datetime) -> None:
    """Compare the clock with its last reading, and store and log a step, in tables of SCHEMA; call it now and then.

    `wall` (UTC) is the clock's time, `up` the seconds since the machine's start, and `boot` names that start.
    """
    now = wall.timestamp()
    before = connection.execute("SELECT boot, up, wall FROM clock").fetchone()
    connection.execute("INSERT OR REPLACE INTO clock VALUES (1, ?, ?, ?)", (boot, up, now))
    if before is None:
        return
    # How long a machine was off is unknown: after a start, only a clock that went back was surely set.
    passed = up - before[1] if before[0] == boot else max(0.0, now - before[2])
    step = now - before[2] - passed
    if abs(step) > TOLERANCE + DRIFT * passed:
        connection.execute("DELETE FROM clock_step WHERE wall < ?", (now - REMEMBERED.total_seconds(),))
        connection.execute("INSERT INTO clock_step VALUES (?, ?)", (step, now))
        log.warning("%s", Step(step, wall))


def last_step(folder: Path, now: datetime) -> Step | None:
    """The last step within a day before `now` (UTC) that a process with its limits in `folder` has stored, or None."""
    file = folder / "limits.db"
    if not file.exists():
        return None
    try:
        with opened(file, SCHEMA) as connection:
            row = connection.execute("SELECT seconds, wall FROM clock_step ORDER BY rowid DESC LIMIT 1").fetchone()
    except StateUnavailable:  # a report goes on without it
        return None
    found = Step(row[0], datetime.fromtimestamp(row[1], UTC)) if row else None
    return found if found and abs(now - found.noticed) < REMEMBERED else None
