"""In what order requests are sent, how often, and when no more are: so that what comes is not held up by what does not.

Every job is tried once before one that failed is tried again; jobs that failed the last time come after the others. An
endpoint that answers nobody is asked by one request now and then (a circuit breaker), and then by none.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from upbit_elt.clock import Clock, Deadline
from upbit_elt.errors import (
    EndpointDown,
    ExchangeError,
    Garbled,
    OutOfTime,
    RateLimited,
    ServerTrouble,
    Unreachable,
)

# How often a request is sent that fails in a way that may pass, and the pauses (seconds) between.
TRIES, PAUSE = 4, 0.5
# So many requests in a row without a usable answer, and the endpoint is taken to be down ...
SILENT = 8
# ... then one is sent every so many seconds, until one is answered.
PROBE = 3.0
# So many seconds after the last new request was sent (or since the endpoint is down) nothing more is waited for.
GRACE = 12.0
# A caller is told that time goes by at least so often (seconds).
_TICK = 5.0
_MAY_PASS = (RateLimited, ServerTrouble, Garbled, Unreachable)
_SILENCE = (ServerTrouble, Garbled, Unreachable)


class Job(Protocol):
    """Something to ask in one request or in several, one after the other; `suspect`: it failed the last time."""

    error: ExchangeError | None
    suspect: bool

    @property
    def done(self) -> bool:
        """Whether nothing is left to ask."""
        ...

    def step(self) -> None:
        """Send one request. Sets `error` when it fails; raises nothing."""
        ...


J = TypeVar("J", bound=Job)


@dataclass(order=True)
class _Attempt(Generic[J]):
    """A job that waits or is under way. `rank`: 0 new, 1 suspect, 2 failed before; then pages so far, or when due."""

    rank: tuple[int, float, int]
    job: J = field(compare=False)
    tries: int = field(compare=False, default=0)


class Dispatcher(Generic[J]):
    """Carries out jobs on `workers` threads until all are done or have failed, or the time is over."""

    def __init__(self, clock: Clock, jobs: Iterable[J], workers: int, deadline: Deadline) -> None:
        self._clock, self._workers, self._deadline = clock, workers, deadline
        jobs = list(jobs)
        # When many failed the last time it was not their fault, and they are not asked last.
        few = sum(job.suspect for job in jobs) * 4 <= len(jobs)
        self._number = 0
        self._new: list[_Attempt[J]] = []
        for job in jobs:
            self._add(self._new, _Attempt((int(job.suspect and few), 0, 0), job))
        self._again: list[_Attempt[J]] = []  # by the moment when they may be sent
        self._running: dict[Future[None], _Attempt[J]] = {}
        self._silent = 0
        self._down: float | None = None  # since when
        self._probe_at = 0.0
        self._probe: _Attempt[J] | None = None
        self._last_new = clock.monotonic()

    def run(self, tick: Callable[[], None]) -> Iterator[J]:
        """The jobs as they end, each `done` or with its `error`; `tick` is called at least every few seconds."""
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="fetch")
        waiting = True
        try:
            while self._new or self._again or self._running:
                end = self._end()
                if end <= self._clock.monotonic():
                    break
                self._send(pool)
                for attempt in self._await(end):
                    if self._ended(attempt):
                        yield attempt.job
                tick()
            waiting = False
            yield from self._left()
        finally:
            # Whoever stops listening (a lost lease) sends nothing more. What is not waited for ends by its timeout.
            pool.shutdown(wait=waiting, cancel_futures=True)

    def _end(self) -> float:
        """When (on the clock's monotonic seconds) nothing more is waited for, as far as is known now."""
        now = self._clock.monotonic()
        ends = [now + self._deadline.left]
        if self._down is not None:
            ends.append(self._down + GRACE)
        if not any(attempt.rank[0] == 0 for attempt in self._new):
            ends.append(self._last_new + GRACE)
        return min(ends)

    def _send(self, pool: ThreadPoolExecutor) -> None:
        while len(self._running) < self._workers and (attempt := self._next()):
            attempt.tries += 1
            if attempt.rank[0] == 0:
                self._last_new = self._clock.monotonic()
            attempt.job.error = None
            self._running[pool.submit(attempt.job.step)] = attempt

    def _next(self) -> _Attempt[J] | None:
        now = self._clock.monotonic()
        if self._down is not None:
            if now < self._probe_at or self._probe in self._running.values():
                return None
            self._probe_at = now + PROBE
            # Not the one whose turn it is: neighbours may share their trouble.
            self._probe = next((heap.pop() for heap in (self._new, self._again) if heap), None)
            return self._probe
        if self._new:
            return heapq.heappop(self._new)
        return heapq.heappop(self._again) if self._again and self._again[0].rank[1] <= now else None

    def _await(self, end: float) -> list[_Attempt[J]]:
        """The turns that have ended; waits for the first, or until something else may be sent."""
        now = self._clock.monotonic()
        nexts = [end, now + _TICK]
        if self._down is not None:
            nexts.append(self._probe_at)
        elif self._again:
            nexts.append(self._again[0].rank[1])
        pause = max(0.01, min(moment for moment in nexts if moment > now) - now)
        if not self._running:
            self._clock.sleep(pause)
            return []
        ended, _ = wait(self._running, timeout=pause, return_when=FIRST_COMPLETED)
        for future in ended:
            future.result()  # a mistake of ours ends the run
        return [self._running.pop(future) for future in ended]

    def _ended(self, attempt: _Attempt[J]) -> bool:
        """Take in what came of a request; whether its job has ended. If not, it has another turn."""
        job, now = attempt.job, self._clock.monotonic()
        self._note_endpoint(attempt)
        if job.error is None:
            if not job.done:
                self._add(
                    self._new, _Attempt((attempt.rank[0] if attempt.rank[0] < 2 else 0, attempt.rank[1] + 1, 0), job)
                )
            return job.done
        if not isinstance(job.error, _MAY_PASS) or attempt.tries >= TRIES:
            return True
        due = now + PAUSE * 2 ** (attempt.tries - 1)
        self._add(self._again, _Attempt((2, due, 0), job, attempt.tries))
        return False

    def _note_endpoint(self, attempt: _Attempt[J]) -> None:
        """Whether the endpoint answers anybody. Jobs that failed before say nothing against it."""
        if not isinstance(attempt.job.error, _SILENCE):
            self._silent, self._down = 0, None
        elif attempt.rank[0] == 0:
            self._silent += 1
        if self._silent >= SILENT and self._down is None:
            self._down = self._probe_at = self._clock.monotonic()

    def _left(self) -> Iterator[J]:
        for attempt in [*self._running.values(), *self._again, *self._new]:
            job = attempt.job
            if job.error is None:
                job.error = self._why(requested=attempt in self._running.values())
            yield job

    def _why(self, *, requested: bool) -> ExchangeError:
        if self._down is not None and not requested:
            return EndpointDown(f"not asked: {self._silent} requests in a row had no usable answer")
        return OutOfTime("no answer in the time that there was" if requested else "not asked, there was no time left")

    def _add(self, heap: list[_Attempt[J]], attempt: _Attempt[J]) -> None:
        self._number += 1
        attempt.rank = attempt.rank[0], attempt.rank[1], self._number
        heapq.heappush(heap, attempt)
