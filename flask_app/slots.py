"""How many requests of a kind may be under way: the others are told to come again, and keep no thread waiting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from flask_app.problems import BUSY, Problem


class Slots:
    """A number of places for requests that cost much; `what` says what those do that have them, for who comes next."""

    def __init__(self, count: int, what: str) -> None:
        self._count, self._what = count, what
        self._free = BoundedSemaphore(count)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """A place while the block runs.

        Raises:
            Problem: all are taken (503 with `Retry-After`).
        """
        if not self._free.acquire(blocking=False):
            raise Problem(BUSY, f"{self._count} {self._what} already; try again in a moment")
        try:
            yield
        finally:
            self._free.release()
