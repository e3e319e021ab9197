"""Errors of the DAGs that fail now, for status and page."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Lock

from upbit_elt.clock import Clock
from upbit_elt.lake.dag_errors import DagError, DagErrors
from upbit_elt.lake.webhdfs import Lake

LOOK_EVERY = timedelta(seconds=10)


class FailingDags:
    """Caches the errors for LOOK_EVERY. A refresh costs one listing of a folder while there is no new error."""

    def __init__(self, lake: Lake, clock: Clock) -> None:
        self._errors, self._clock = DagErrors(lake), clock
        self._lock = Lock()
        self._looked: datetime | None = None
        self._current: list[DagError] = []

    def current(self) -> list[DagError]:
        """Errors of the DAGs that fail now, newest first.

        Raises:
            LakeUnavailable: HDFS does not answer.
        """
        with self._lock:
            now = self._clock.now()
            if self._looked is None or now - self._looked >= LOOK_EVERY:
                self._current, self._looked = self._errors.unexpired(now), now
            return self._current
