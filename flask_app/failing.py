"""The errors of DAGs that fail, as status and page show them."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Lock

from upbit_elt.clock import Clock
from upbit_elt.lake.dag_errors import DagError, DagErrors
from upbit_elt.lake.webhdfs import Lake

LOOK_EVERY = timedelta(seconds=10)


class FailingDags:
    """Keeps the last look at the errors for some seconds; one list of a folder a look while nothing is new."""

    def __init__(self, lake: Lake, clock: Clock) -> None:
        self._errors, self._clock = DagErrors(lake), clock
        self._lock = Lock()
        self._looked: datetime | None = None
        self._shown: list[DagError] = []

    def shown(self) -> list[DagError]:
        """Errors of DAGs that fail now, the newest first.

        Raises:
            LakeUnavailable
        """
        with self._lock:
            now = self._clock.now()
            if self._looked is None or now - self._looked >= LOOK_EVERY:
                self._shown, self._looked = self._errors.unexpired(now), now
            return self._shown
