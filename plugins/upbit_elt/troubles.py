"""Current troubles, stored in a small file of the state folder, each sent to the webhook when it begins and ends.

While a trouble lasts, whoever sees it reports it repeatedly; it is over when nobody has until the moment `until`. The
file outlives the processes, so that a restart sends nothing twice, and the Flask service and Airflow's callbacks share
it.
"""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from upbit_elt.clock import Clock
from upbit_elt.settings import Settings
from upbit_elt.state_file import opened
from upbit_elt.webhook import Webhook

# A process that sends a line has so many seconds; then another may try. A failed line is sent again after as long.
CLAIM = 60.0
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS trouble "
    "(key TEXT PRIMARY KEY, since REAL, until REAL, words TEXT, told INTEGER, claimed REAL)"
)
Row = tuple[str, float, float, str, int]


class Trouble(NamedTuple):
    """Something wrong: a `key` that stays the same while it lasts, a line of `words`, and the end `until` (UTC)."""

    key: str
    words: str
    until: datetime


class Troubles:
    """The troubles of one deployment. A damaged file is replaced by an empty one; lasting troubles are then sent again.

    Every method raises StateUnavailable when the file is busy for long, the disk is full or the folder cannot be made.
    """

    def __init__(self, folder: Path, name: str, webhook: Webhook, clock: Clock) -> None:
        self._file, self._name, self._webhook, self._clock = folder / "troubles.db", name, webhook, clock

    @classmethod
    def from_settings(cls, settings: Settings, clock: Clock) -> Troubles:
        """The troubles of a deployment, sent to the webhook of its settings."""
        return cls(settings.state_dir, settings.dataset, _webhook(settings), clock)

    def report(self, trouble: Trouble) -> None:
        """Store a trouble that begins or lasts; its `until` may be moved later, never earlier."""
        values = (trouble.key, self._now, trouble.until.timestamp(), trouble.words)
        with self._opened() as connection:
            connection.execute(
                "INSERT INTO trouble VALUES (?, ?, ?, ?, 0, 0) ON CONFLICT (key) DO UPDATE "
                "SET until = max(until, excluded.until), words = excluded.words",
                values,
            )

    def renew(self, key: str, until: datetime) -> None:
        """Extend a stored trouble to `until` (UTC) at least, because it cannot be known now whether it lasts."""
        with self._opened() as connection:
            moment = until.timestamp()
            connection.execute("UPDATE trouble SET until = max(until, ?) WHERE key = ?", (moment, key))

    def end(self, key: str) -> None:
        """End a trouble now, if it is stored."""
        with self._opened() as connection:
            connection.execute("UPDATE trouble SET until = min(until, ?) WHERE key = ?", (self._now, key))

    def waiting(self) -> int:
        """Number of lines that the webhook has not accepted yet; 0 without a webhook."""
        due = "SELECT count(*) FROM trouble WHERE told = 0 OR until <= ?"
        with self._opened() as connection:
            ((count,),) = connection.execute(due, (self._now,)).fetchall()
        return int(count) if self._webhook.is_there else 0

    def lasting(self) -> list[str]:
        """Keys of the troubles that last now, sorted."""
        with self._opened() as connection:
            found = connection.execute("SELECT key FROM trouble WHERE until > ? ORDER BY key", (self._now,))
            return [key for (key,) in found]

    def notify(self, only: str | None = None) -> None:
        """Send the lines that are due, of all troubles or of the one with the key `only`.

        A line that the webhook does not accept is sent again after a minute. Without a webhook nothing is sent, and
        troubles that are over are deleted.
        """
        now = self._now
        with self._opened() as connection:
            if not self._webhook.is_there:
                connection.execute("DELETE FROM trouble WHERE until <= ?", (now,))
                return
            rows = connection.execute("SELECT key, since, until, words, told FROM trouble ORDER BY since").fetchall()
        for row in rows:
            key, _, until, _, notified = row
            if (until <= now or not notified) and only in (None, key) and self._claimed(row):
                self._send(row, over=until <= now)

    @property
    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _claimed(self, row: Row) -> bool:
        """Whether this process may send the row's line; of several processes that try, one gets True."""
        key, _, _, _, notified = row
        with self._opened() as connection:
            claim = "UPDATE trouble SET claimed = ? WHERE key = ? AND told = ? AND abs(claimed - ?) >= ?"
            return connection.execute(claim, (self._now, key, notified, self._now, CLAIM)).rowcount == 1

    def _send(self, row: Row, *, over: bool) -> None:
        key, since, until, words, _ = row
        line = _over(words, since, until) if over else words
        if not self._webhook.send(f"[{self._name}] {line}"):
            return
        with self._opened() as connection:
            if over:  # only if the trouble has not come back meanwhile
                connection.execute("DELETE FROM trouble WHERE key = ? AND until = ?", (key, until))
            connection.execute("UPDATE trouble SET told = ?, claimed = 0 WHERE key = ?", (0 if over else 1, key))

    def _opened(self) -> AbstractContextManager[sqlite3.Connection]:
        return opened(self._file, _SCHEMA)


class UnstoredTrouble:
    """The one trouble that the file cannot store: that the file itself cannot be written, as on a full disk.

    The process that notices it keeps it in memory, and sends a line when it begins and one when it is over.
    """

    def __init__(self, name: str, webhook: Webhook, clock: Clock) -> None:
        self._name, self._webhook, self._clock = name, webhook, clock
        self._since: float | None = None
        self._sent = ""

    @classmethod
    def from_settings(cls, settings: Settings, clock: Clock) -> UnstoredTrouble:
        """The one of a deployment, sent to the webhook of its settings."""
        return cls(settings.dataset, _webhook(settings), clock)

    def update(self, words: str) -> None:
        """Take what is wrong while the file cannot be written, "" when it can; send it if it outlasts CLAIM."""
        now = self._clock.now().timestamp()
        if not words:
            if self._sent and self._since is not None and not self._send(_over(self._sent, self._since, now)):
                return
            self._since, self._sent = None, ""
            return
        self._since = self._since or now
        if not self._sent and now - self._since >= CLAIM and self._send(words):
            self._sent = words

    def _send(self, line: str) -> bool:
        return not self._webhook.is_there or self._webhook.send(f"[{self._name}] {line}")


def _webhook(settings: Settings) -> Webhook:
    return Webhook(settings.webhook_file or settings.state_dir / "webhook")


def _over(words: str, since: float, until: float) -> str:
    began = datetime.fromtimestamp(since, UTC)
    return f"over after {_minutes(until - since)}, since {began:%m-%d %H:%M} UTC: {words}"


def _minutes(seconds: float) -> str:
    return f"{max(1, round(seconds / 60))} min"
