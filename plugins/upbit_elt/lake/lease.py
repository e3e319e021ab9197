"""Leases: one writer at a time for a folder, by a file in HDFS that only one of several writers can create.

A lease has an expiry. Holder and waiter read it by the clocks of two machines, which may differ or be set. So a lease
also ends once a waiter has seen it unchanged for its whole duration: a living holder renews it after half of that time,
by a monotonic clock.

HDFS shows the file before its bytes are in it, and a writer that dies between leaves it empty. A lease that cannot be
read therefore ends its duration after the NameNode created it, unless the two clocks are too far apart to compare.
"""

from __future__ import annotations

import json
import os
import posixpath
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import uuid4

import psutil

from upbit_elt.clock import Clock
from upbit_elt.errors import LakeConflict, LakeCorrupt, LeaseHeld
from upbit_elt.lake.webhdfs import Lake

DURATION = timedelta(seconds=90)
_POLL = 0.5
SAME_START = 1.0  # two readings of a process's start may differ by so many seconds
# An expiry further ahead than a lease lasts was written by a clock that was set since. A living holder renews its lease
# after half of the duration, and checks that it still holds it before it publishes.
CLOCKS_DIFFER = timedelta(minutes=1)


class Lease:
    """A lease of one folder. Its holder calls `renew` at least every DURATION."""

    def __init__(self, lake: Lake, path: str, clock: Clock) -> None:
        self._lake, self._path, self._clock = lake, path, clock
        self._token = uuid4().hex
        self._renewed = clock.since_boot()
        self._lost = False
        self._seen: tuple[bytes, float] = (b"", self._renewed)  # another's lease, and since when it is unchanged

    def acquire(self, wait: timedelta) -> None:
        """Take the lease, once its holder releases it. Raises LeaseHeld after `wait`."""
        deadline = self._clock.since_boot() + wait.total_seconds()
        while not self._try():
            if self._clock.since_boot() >= deadline:
                raise LeaseHeld(f"{self._path} is held by another writer; it ends within {DURATION}. Run it again.")
            self._clock.sleep(_POLL)

    def renew(self) -> None:
        """Prolong the lease once half of it is over. Raises LeaseHeld when it was lost."""
        if self._clock.since_boot() - self._renewed > DURATION.total_seconds() / 2:
            self.check()
            self._renewed = self._clock.since_boot()
            self._lake.replace(self._path, self._document())

    def check(self) -> None:
        """Raise LeaseHeld unless the lease is still ours; call it right before publishing."""
        if not self._is_ours():
            self._lost = True
            raise LeaseHeld(f"{self._path} was taken over by another writer; run it again.")

    def release(self) -> None:
        """Delete the lease, if it is still ours."""
        # No other writer takes over a lease that was renewed so lately.
        fresh = self._clock.since_boot() - self._renewed < DURATION.total_seconds() / 2
        if (fresh and not self._lost) or self._is_ours():
            self._lake.delete(self._path)

    def _try(self) -> bool:
        return self._created() or (self._dead_removed() and self._created())

    def _created(self) -> bool:
        self._renewed = self._clock.since_boot()
        try:
            self._lake.create(self._path, self._document())  # one of several writers succeeds
        except LakeConflict:
            return False
        return True

    def _dead_removed(self) -> bool:
        data = _read(self._lake, self._path)
        if data is None:
            return True
        if not self._is_unchanged(data) and not _is_over(self._lake, self._path, data, self._clock.now()):
            return False
        moved_path = f"{self._path}.{uuid4().hex}"
        try:
            self._lake.rename(self._path, moved_path)  # one of several writers succeeds
        except LakeCorrupt:
            return True
        if _read(self._lake, moved_path) != data:  # another writer has taken the lease meanwhile
            try:
                self._lake.rename(moved_path, self._path)
                return False
            except LakeConflict:  # a third writer has it; the other one notices at its next check
                pass
        self._lake.delete(moved_path)
        return True

    def _is_unchanged(self, data: bytes) -> bool:
        """Whether another's lease has been seen unchanged for DURATION."""
        now = self._clock.since_boot()
        if data != self._seen[0]:
            self._seen = (data, now)
        return now - self._seen[1] >= DURATION.total_seconds()

    def _is_ours(self) -> bool:
        return (_parsed(_read(self._lake, self._path)) or {}).get("token") == self._token

    def _document(self) -> bytes:
        return json.dumps(
            {
                "token": self._token,
                "until": (self._clock.now() + DURATION).isoformat(),
                "host": socket.gethostname(),
                "pid": str(os.getpid()),
                "started": str(_started(os.getpid())),
            }
        ).encode()


def _read(lake: Lake, path: str) -> bytes | None:
    try:
        return lake.read(path)
    except LakeCorrupt:  # there is none
        return None


def _parsed(data: bytes | None) -> dict[str, str] | None:
    """The holder's entry in a lease; None when its bytes are not complete (yet)."""
    try:
        return dict(json.loads(data or b""))
    except ValueError:
        return None


def _is_over(lake: Lake, path: str, data: bytes, now: datetime) -> bool:
    """Whether a lease is over at `now` (UTC).

    It is when it has expired, when its process on this host is gone, or when its expiry shows that a clock was set.
    """
    holder = _parsed(data)
    if holder is None:
        folder, name = posixpath.split(path)
        created = [entry.modified for entry in lake.list(folder) if entry.name == name]
        return any(moment + DURATION <= now or moment > now + CLOCKS_DIFFER for moment in created)
    until = datetime.fromisoformat(holder["until"])
    if until <= now:
        return True
    if holder["host"] != socket.gethostname():
        return until > now + DURATION + CLOCKS_DIFFER
    try:
        started = _started(int(holder["pid"]))
    except psutil.NoSuchProcess:
        return True
    return abs(started - float(holder["started"])) > SAME_START


def _started(pid: int) -> float:
    """Seconds from this machine's start to a process's: psutil's two times both move when the clock is set."""
    return psutil.Process(pid).create_time() - psutil.boot_time()


def is_held(lake: Lake, folder: str, clock: Clock) -> bool:
    """Whether a living writer holds the lease of a folder now."""
    path = f"{folder}/_lease"
    data = _read(lake, path)
    if data is None:
        return False
    return not _is_over(lake, path, data, clock.now())


@contextmanager
def lease(lake: Lake, folder: str, clock: Clock, wait: timedelta = timedelta(seconds=100)) -> Iterator[Lease]:
    """Hold the lease of a folder for the block. Raises LeaseHeld when another writer holds it beyond `wait`."""
    held = Lease(lake, f"{folder}/_lease", clock)
    held.acquire(wait)
    try:
        yield held
    finally:
        held.release()
