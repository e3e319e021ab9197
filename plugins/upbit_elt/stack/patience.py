"""How long a start is waited for: by what the service does, and not by the clock alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from tenacity import RetryCallState
from tenacity.stop import stop_base

from upbit_elt.stack import processes
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.supervision import State

# A service that is at work is waited for at most so many seconds.
LONGEST = 900.0
# Seconds from one check of its work to the next.
EVERY = 60.0
# CPU seconds between two checks that count as work. One of fifty processes that share two cores gets 2.4.
CPU = 1.0


class Work(NamedTuple):
    """What a service has done so far: CPU seconds of its process `pid` (0: none) and all below it, bytes of its log."""

    pid: int
    cpu: float
    logged: int


NO_WORK = Work(0, 0.0, 0)


class States(Protocol):
    """Who knows the processes of the services."""

    def state(self, name: str) -> State:
        """State of one service. Raises StackError when nobody can say it."""


def work_of(stack: StackSettings, supervisor: States, name: str) -> Work:
    """The work of a supervised service; raises what `supervisor` does."""
    pid, log = supervisor.state(name).pid or 0, stack.logs_dir / f"{name}.log"
    return Work(pid, processes.cpu_seconds(pid) if pid else 0.0, log.stat().st_size if log.exists() else 0)


class Patience(stop_base):
    """Ends the wait for a service after `seconds`; while it is at work later, and after `longest` at the latest.

    It is at work when the same process has used CPU time or written to its log since the look before, so that one that
    dies again and again is not. `look` gives its work.
    """

    def __init__(self, seconds: float, look: Callable[[], Work]) -> None:
        self.seconds, self.longest = seconds, max(seconds, LONGEST)
        self._look = look
        self._looked, self._work, self._at_work = 0.0, look(), False
        self.waited = 0.0

    def __call__(self, retry_state: RetryCallState) -> bool:
        """Whether the wait is over, which tenacity checks after each try."""
        return self.over(retry_state.seconds_since_start or 0.0)

    def over(self, waited: float) -> bool:
        """Whether the wait is over after `waited` seconds."""
        self.waited = waited
        if waited - self._looked >= EVERY:
            before, self._work, self._looked = self._work, self._look(), waited
            done = self._work.cpu - before.cpu >= CPU or self._work.logged != before.logged
            self._at_work = done and 0 != self._work.pid == before.pid
        return waited >= (self.longest if self._at_work else self.seconds)

    @property
    def prolonged(self) -> bool:
        """Whether it is still waited for only because it is at work."""
        return self._at_work and self.waited >= self.seconds

    @property
    def words(self) -> str:
        """How long it has been waited for, and why no longer, or why so long."""
        if self.waited < self.seconds:
            return f"for {self.waited:.0f} s"
        why = f"it is at work, so for {self.longest:.0f} s at most" if self._at_work else "it is not at work"
        return f"for {self.waited:.0f} s; {why}"
