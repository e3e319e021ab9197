"""Limits how many requests of a kind run at once: further ones get status 503 at once instead of holding a thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from flask_app.problems import BUSY, Problem


class Slots:
    """Allows `count` expensive requests at a time; `what` describes them in the message to those that are rejected."""

    def __init__(self, count: int, what: str) -> None:
        self._count, self._what = count, what
        self._free = BoundedSemaphore(count)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a slot while the block runs.

        Raises:
            Problem: all slots are taken (503 with `Retry-After`).
        """
        if not self._free.acquire(blocking=False):
            raise Problem(BUSY, f"{self._count} {self._what} already; try again in a moment")
        try:
            yield
        finally:
            self._free.release()
