"""When history may be asked for: live runs go first."""

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
# Without a file for so long there are no live runs to give way to.
IDLE = timedelta(minutes=10)
_POLL = 1.0
# Between two tries while the exchange is out.
REST = 30.0


def next_live_run(now: datetime) -> datetime:
    """The next even minute (UTC), when a live run starts."""
    minute = now.replace(second=0, microsecond=0)
    return minute + timedelta(minutes=2 - minute.minute % 2)


class TimeBudget:
    """The times in which history may send requests.

    Not while a live run holds its lease, and not around the moment in which the next one starts. `patient` waits for
    the next free time, else the work ends there. All work ends at `until` (UTC), and when `stopped` says so.
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
        """Tell how far (UTC) the live runs are: nobody waits for the start of those that do not happen."""
        self._live_end = end

    def await_time(self) -> bool:
        """True when requests may be sent now; False when the work has to end."""
        while not self._over():
            if self._free():
                return True
            if not self._patient:
                return False
            self._clock.sleep(_POLL)
        return False

    def must_stop(self) -> bool:
        """Whether whoever is asking now has to stop; looks at the lake once a second."""
        now = self._clock.now()
        if self._over():
            return True
        if self._checked and now - self._checked < timedelta(seconds=_POLL):
            return False
        return not self._free()

    def rest(self) -> bool:
        """The exchange is out: wait a while (True), or leave it to the next run (False)."""
        if self._patient:
            self._clock.sleep(REST)
        return self._patient

    def seconds_left(self) -> float:
        """Seconds until the next stop that is known now."""
        now = self._clock.now()
        stops = [self._until] if self._until else []
        if self.live_runs():
            stops.append(next_live_run(now) - BEFORE)
        return min(((stop - now).total_seconds() for stop in stops), default=float("inf"))

    def live_runs(self) -> bool:
        """Whether live runs happen, as far as the lake shows."""
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
