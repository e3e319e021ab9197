"""One writer at a time: a lease file in HDFS, whose CREATE lets one writer win, with an expiry.

The expiry goes by the clocks of two machines, which may differ, or may be set. So a lease is over too once it has been
seen unchanged for as long as it lasts; its holder renews it in half of that time, by a clock that nobody sets.

The file is seen before its bytes are in it, and a writer that dies just then leaves it so for ever: a lease that cannot
be read lasts that long from when the NameNode made it, unless the two clocks cannot be compared.
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
SAME_START = 1.0  # seconds between two readings of a process's start
# An end farther ahead than a lease lasts was written by a clock that was set since. Its holder, if it lives, writes
# another one in half of that time, and finds out before it makes anything visible if it was too late.
CLOCKS_DIFFER = timedelta(minutes=1)


class Lease:
    """A lease that is held; call `renew` at least every DURATION."""

    def __init__(self, lake: Lake, path: str, clock: Clock) -> None:
        self._lake, self._path, self._clock = lake, path, clock
        self._token = uuid4().hex
        self._renewed = clock.since_boot()
        self._lost = False
        self._seen: tuple[bytes, float] = (b"", self._renewed)  # another's lease, and since when it is so

    def acquire(self, wait: timedelta) -> None:
        """Take the lease, waiting for its holder. Raises LeaseHeld when `wait` is over."""
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
        """Raise LeaseHeld unless it is still ours: to be called right before something is made visible."""
        if not self._is_ours():
            self._lost = True
            raise LeaseHeld(f"{self._path} was taken over by another writer; run it again.")

    def release(self) -> None:
        """Give it back (only when it is still ours)."""
        # Nobody takes over a lease that has as long to go as this.
        fresh = self._clock.since_boot() - self._renewed < DURATION.total_seconds() / 2
        if (fresh and not self._lost) or self._is_ours():
            self._lake.delete(self._path)

    def _try(self) -> bool:
        return self._created() or (self._dead_removed() and self._created())

    def _created(self) -> bool:
        self._renewed = self._clock.since_boot()
        try:
            self._lake.create(self._path, self._document())  # of several, one succeeds
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
            self._lake.rename(self._path, moved_path)  # of several, one succeeds
        except LakeCorrupt:
            return True
        if _read(self._lake, moved_path) != data:  # another took the dead one and has it by now
            try:
                self._lake.rename(moved_path, self._path)
                return False
            except LakeConflict:  # a third has it; the other sees so at its next check
                pass
        self._lake.delete(moved_path)
        return True

    def _is_unchanged(self, data: bytes) -> bool:
        """Whether another's lease has been so for as long as one lasts."""
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
    """Who holds a lease; None when its bytes are not all there (yet)."""
    try:
        return dict(json.loads(data or b""))
    except ValueError:
        return None


def _is_over(lake: Lake, path: str, data: bytes, now: datetime) -> bool:
    """Expired, or its process on this very host is gone, or of another host whose clock, or ours, was set meanwhile."""
    holder = _parsed(data)
    if holder is None:
        folder, name = posixpath.split(path)
        made = [entry.modified for entry in lake.list(folder) if entry.name == name]
        return any(moment + DURATION <= now or moment > now + CLOCKS_DIFFER for moment in made)
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
    """Seconds from this machine's start to a process's. Both of psutil's times move when the clock is set."""
    return psutil.Process(pid).create_time() - psutil.boot_time()


def is_held(lake: Lake, folder: str, clock: Clock) -> bool:
    """Whether a living writer has the lease of a folder now."""
    path = f"{folder}/_lease"
    data = _read(lake, path)
    if data is None:
        return False
    return not _is_over(lake, path, data, clock.now())


@contextmanager
def lease(lake: Lake, folder: str, clock: Clock, wait: timedelta = timedelta(seconds=100)) -> Iterator[Lease]:
    """Hold the lease of a folder for the block. Raises LeaseHeld when another writer keeps it beyond `wait`."""
    held = Lease(lake, f"{folder}/_lease", clock)
    held.acquire(wait)
    try:
        yield held
    finally:
        held.release()
