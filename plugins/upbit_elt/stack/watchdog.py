"""The watchdog of `./run`: it ends the process of a service that hangs, and supervisord starts it again.

supervisord sees what dies, not what hangs. The watchdog runs the health check of every service, the one of
`./run status`. Only the answer `Hung` counts against a service: whatever else is wrong (safe mode, stale candles, an
exchange or another service that is away), a restart would not make it better.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from upbit_elt.stack import processes, restarts
from upbit_elt.stack.health import Hung
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.restarts import Report, Restart, since_boot
from upbit_elt.stack.services import Service
from upbit_elt.stack.supervision import State, Supervisor

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """When a service is taken for hung, in seconds. docker/watchdog.sh has the same looks, patience, start and late.

    `every`: from one look to the next. A service is hung after `looks` looks in a row without an answer that lie at
    least `patience` apart, or `start` while its process has never answered. Looks further apart than `late` say that
    the machine slept, was paused or had no time: what they found is forgiven. After a restart the next of the same
    service comes no earlier than `backoff`, doubled with each up to `longest_backoff`; as long without one ends this.
    """

    every: float = 15.0
    looks: int = 6
    patience: float = 180.0
    start: float = 900.0
    late: float = 90.0
    backoff: float = 300.0
    longest_backoff: float = 3600.0


class ServiceWatch:
    """What the checks of one service have found so far."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pid: int | None = None
        self._answered = False
        self._looked: float | None = None
        self._silent_since: float | None = None
        self._silent_looks = 0
        self._restarts = 0
        self._restarted: float | None = None

    def decide(self, now: float, pid: int | None, trouble: str | None) -> str | None:
        """Take in one look (what the health check of this process said); gives why it has to be restarted, or None."""
        if pid != self._pid:
            self._pid, self._answered = pid, False
            self._forgive()
        late = self._looked is not None and now - self._looked > self._limits.late
        self._looked = now
        if pid is None or late or not isinstance(trouble, Hung):
            self._answered = self._answered or (pid is not None and trouble is None)
            self._forgive()
            return None
        self._silent_looks += 1
        if self._silent_since is None:
            self._silent_since = now
        silent = now - self._silent_since
        patience = self._limits.patience if self._answered else self._limits.start
        if self._silent_looks < self._limits.looks or silent < patience or self._too_early(now):
            return None
        return f"{trouble}, for {silent:.0f} s"

    def restarted(self, now: float) -> None:
        """Note that the process was ended."""
        if self._restarted is not None and now - self._restarted > self._limits.longest_backoff:
            self._restarts = 0
        self._restarts += 1
        self._restarted = now

    def _too_early(self, now: float) -> bool:
        backoff = min(self._limits.backoff * 2.0 ** (self._restarts - 1), self._limits.longest_backoff)
        return self._restarted is not None and now - self._restarted < backoff

    def _forgive(self) -> None:
        self._silent_since, self._silent_looks = None, 0


class _Look(NamedTuple):
    at: float
    trouble: str | None


class Watchdog:
    """Checks the services of one stack; `clock` gives seconds that nobody sets."""

    def __init__(
        self,
        stack: StackSettings,
        services: Iterable[Service],
        limits: Limits | None = None,
        clock: Callable[[], float] = since_boot,
    ) -> None:
        self._stack, self._supervisor, self._clock = stack, Supervisor(stack), clock
        self._services = list(services)
        self._limits = limits or Limits()
        self._watches = {service.name: ServiceWatch(self._limits) for service in self._services}
        self._restarts = restarts.known(stack)

    def run(self) -> None:
        """Look for ever.

        Raises:
            StackError: supervisord does not answer; it starts the watchdog again when it does.
        """
        while True:
            self.look()
            time.sleep(self._limits.every)

    def look(self) -> None:
        """Check every service once, and end those that hang. Raises StackError as `run` does.

        While the disk is full nothing is ended: a service that can write nothing gives no sign of life, and would give
        none after a restart.
        """
        states = self._supervisor.states()
        with ThreadPoolExecutor(len(self._services)) as pool:
            looks = list(pool.map(lambda service: self._check(service, states.get(service.name)), self._services))
        room = self._noted()
        for service, look in zip(self._services, looks, strict=True):
            state = states.get(service.name)
            pid = state.pid if state and state.running else None
            trouble = look.trouble if room or look.trouble is None else str(look.trouble)
            why = self._watches[service.name].decide(look.at, pid, trouble)
            if pid and why:
                self._restart(service, pid, why)
                self._noted()

    def _noted(self) -> bool:
        """Write down what was done; whether that could be written."""
        try:
            Report(looked=self._clock(), restarts=self._restarts).save(self._stack)
        except OSError as error:
            logger.warning("nothing is restarted while nothing can be written: %s", error)
            return False
        return True

    def _check(self, service: Service, state: State | None) -> _Look:
        trouble = service.check() if state and state.running else None
        if trouble is None and state and state.pid and processes.stopped(state.pid):
            trouble = Hung("its process is stopped")  # its children may still answer
        return _Look(self._clock(), trouble)

    def _restart(self, service: Service, pid: int, why: str) -> None:
        before = self._restarts.get(service.name)
        count = before.count + 1 if before else 1
        logger.warning("restarting %s (pid %d), restart %d: %s", service.name, pid, count, why)
        processes.end_tree(pid, service.stop_seconds)
        self._watches[service.name].restarted(self._clock())
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._restarts[service.name] = Restart(at=at, why=why, count=count)
