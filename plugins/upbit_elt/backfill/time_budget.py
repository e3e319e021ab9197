"""When the backfill may send requests: live runs go first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from upbit_elt.clock import Clock
from upbit_elt.lake import layout
from upbit_elt.lake.lease import is_held
from upbit_elt.lake.webhdfs import Lake

# A live run starts at every even minute; it holds its lease some seconds later.
CADENCE = timedelta(minutes=2)
BEFORE, AFTER = timedelta(seconds=5), timedelta(seconds=10)
# When the newest live file is older, no live runs happen, and none is waited for.
IDLE = timedelta(minutes=10)
_POLL = 1.0
# Seconds between two tries while the exchange does not answer.
REST = 30.0


def next_live_run(now: datetime) -> datetime:
    """The next even minute (UTC), when a live run starts."""
    minute = now.replace(second=0, microsecond=0)
    return minute + timedelta(minutes=2 - minute.minute % 2)


class TimeBudget:
    """Decides when the backfill may send requests, and when its work has to end.

    It may not while a live run holds its lease, nor around the moment at which the next one starts. A `patient` budget
    waits for the next free time; else the work ends there. All work ends at `until` (UTC), or when `stopped()` is true.
    """

    def __init__(
        self,
        lake: Lake,
        clock: Clock,
        until: datetime | None = None,
        *,
        patient: bool,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._lake, self._clock, self._until, self._patient = lake, clock, until, patient
        self._stopped = stopped
        self._folder = layout.kind_folder(lake.root, "candle")
        self._live_end: datetime | None = None
        self._checked: datetime | None = None

    def set_live_end(self, end: datetime | None) -> None:
        """Set the end (UTC) of the live coverage; when it is too old, the budget waits for no live run."""
        self._live_end = end

    def await_time(self) -> bool:
        """Wait until requests may be sent: True when they may now, False when the work has to end."""
        while not self._over():
            if self._free():
                return True
            if not self._patient:
                return False
            self._clock.sleep(_POLL)
        return False

    def must_stop(self) -> bool:
        """Whether the requests in progress have to stop; it reads the lake at most once a second."""
        now = self._clock.now()
        if self._over():
            return True
        if self._checked and now - self._checked < timedelta(seconds=_POLL):
            return False
        return not self._free()

    def rest(self) -> bool:
        """Called when the exchange does not answer: True after a pause, False when the next run should try again."""
        if self._patient:
            self._clock.sleep(REST)
        return self._patient

    def seconds_left(self) -> float:
        """Seconds until the work has to stop, as far as is known now; infinite when nothing limits it."""
        now = self._clock.now()
        stops = [self._until] if self._until else []
        if self.live_runs():
            stops.append(next_live_run(now) - BEFORE)
        return min(((stop - now).total_seconds() for stop in stops), default=float("inf"))

    def live_runs(self) -> bool:
        """Whether live runs happen, by the end of the live coverage."""
        return self._live_end is not None and self._clock.now() - self._live_end < IDLE

    def _over(self) -> bool:
        return self._stopped() or (self._until is not None and self._clock.now() >= self._until)

    def _free(self) -> bool:
        now = self._checked = self._clock.now()
        if self._live_end is not None and self.live_runs():
            following = next_live_run(now)
            started = following - CADENCE
            if following - now <= BEFORE or (now - started < AFTER and self._live_end < started):
                return False
        return not is_held(self._lake, self._folder, self._clock)
