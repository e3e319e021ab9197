"""The order in which requests are sent, their retries, and when to give up, so that a slow request delays no other.

Every job is tried once before a failed one is tried again; jobs that failed in the run before come last. When an
endpoint answers no request any more, only a probe is sent every few seconds (a circuit breaker), and then nothing.
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

# Attempts at a request that fails for a temporary reason, and the first pause (seconds) between them; it doubles.
TRIES, PAUSE = 4, 0.5
# After so many requests in a row without a usable response the endpoint counts as down.
FAILURES_UNTIL_DOWN = 8
# While it is down, one request is sent every so many seconds, until one succeeds.
PROBE = 3.0
# Seconds after the last first attempt (or after the endpoint went down) at which the work ends.
GRACE = 12.0
# `tick` is called at least so often (seconds).
_TICK = 5.0
_TEMPORARY = (RateLimited, ServerTrouble, Garbled, Unreachable)
_UNUSABLE = (ServerTrouble, Garbled, Unreachable)


class Job(Protocol):
    """Work that takes one request or several, one after the other. `suspect`: its market failed in the run before."""

    error: ExchangeError | None
    suspect: bool

    @property
    def done(self) -> bool:
        """Whether no request is left to send."""
        ...

    def step(self) -> None:
        """Send one request. Sets `error` when it fails; raises nothing."""
        ...


J = TypeVar("J", bound=Job)


@dataclass(order=True)
class _Attempt(Generic[J]):
    """A job that waits or runs.

    `rank` sorts attempts: first 0 for new, 1 for suspect, 2 for failed; then the pages fetched so far, of a failed one
    the moment (monotonic seconds) when it is due; then a running number.
    """

    rank: tuple[int, float, int]
    job: J = field(compare=False)
    tries: int = field(compare=False, default=0)


class Dispatcher(Generic[J]):
    """Runs jobs on `workers` threads until all are done or have failed, or the deadline is over."""

    def __init__(self, clock: Clock, jobs: Iterable[J], workers: int, deadline: Deadline) -> None:
        self._clock, self._workers, self._deadline = clock, workers, deadline
        jobs = list(jobs)
        # When many failed in the run before, the exchange was at fault, and they do not come last.
        few = sum(job.suspect for job in jobs) * 4 <= len(jobs)
        self._number = 0
        self._new: list[_Attempt[J]] = []
        for job in jobs:
            self._add(self._new, _Attempt((int(job.suspect and few), 0, 0), job))
        self._retries: list[_Attempt[J]] = []  # by the moment when they are due
        self._running: dict[Future[None], _Attempt[J]] = {}
        self._failed_in_a_row = 0
        self._down: float | None = None  # since when, in monotonic seconds
        self._probe_at = 0.0
        self._probe: _Attempt[J] | None = None
        self._last_new = clock.monotonic()

    def run(self, tick: Callable[[], None]) -> Iterator[J]:
        """Yield each job as it ends, `done` or with its `error`; `tick` is called at least every few seconds."""
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="fetch")
        waiting = True
        try:
            while self._new or self._retries or self._running:
                end = self._end()
                if end <= self._clock.monotonic():
                    break
                self._send(pool)
                for attempt in self._await(end):
                    if self._ended(attempt):
                        yield attempt.job
                tick()
            waiting = False
            yield from self._unfinished()
        finally:
            # When the caller stops iterating (it lost its lease), nothing more is sent. Requests that still run end by
            # their timeout.
            pool.shutdown(wait=waiting, cancel_futures=True)

    def _end(self) -> float:
        """When (in the clock's monotonic seconds) the work ends, as far as is known now."""
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
            # The last of the heap, not the next one: neighbours may fail for the same reason.
            self._probe = next((heap.pop() for heap in (self._new, self._retries) if heap), None)
            return self._probe
        if self._new:
            return heapq.heappop(self._new)
        return heapq.heappop(self._retries) if self._retries and self._retries[0].rank[1] <= now else None

    def _await(self, end: float) -> list[_Attempt[J]]:
        """The attempts that have ended; waits for the first, or until something else may be sent."""
        now = self._clock.monotonic()
        nexts = [end, now + _TICK]
        if self._down is not None:
            nexts.append(self._probe_at)
        elif self._retries:
            nexts.append(self._retries[0].rank[1])
        pause = max(0.01, min(moment for moment in nexts if moment > now) - now)
        if not self._running:
            self._clock.sleep(pause)
            return []
        ended, _ = wait(self._running, timeout=pause, return_when=FIRST_COMPLETED)
        for future in ended:
            future.result()  # raises what `step` raised: a defect in our code, which ends the run
        return [self._running.pop(future) for future in ended]

    def _ended(self, attempt: _Attempt[J]) -> bool:
        """Whether the attempt's job has ended; if not, queue its next page or its retry."""
        job, now = attempt.job, self._clock.monotonic()
        self._note_endpoint(attempt)
        if job.error is None:
            if not job.done:
                self._add(
                    self._new, _Attempt((attempt.rank[0] if attempt.rank[0] < 2 else 0, attempt.rank[1] + 1, 0), job)
                )
            return job.done
        if not isinstance(job.error, _TEMPORARY) or attempt.tries >= TRIES:
            return True
        due = now + PAUSE * 2 ** (attempt.tries - 1)
        self._add(self._retries, _Attempt((2, due, 0), job, attempt.tries))
        return False

    def _note_endpoint(self, attempt: _Attempt[J]) -> None:
        """Count failures in a row, and note when the endpoint goes down or is up again. Failed retries do not count."""
        if not isinstance(attempt.job.error, _UNUSABLE):
            self._failed_in_a_row, self._down = 0, None
        elif attempt.rank[0] == 0:
            self._failed_in_a_row += 1
        if self._failed_in_a_row >= FAILURES_UNTIL_DOWN and self._down is None:
            self._down = self._probe_at = self._clock.monotonic()

    def _unfinished(self) -> Iterator[J]:
        for attempt in [*self._running.values(), *self._retries, *self._new]:
            job = attempt.job
            if job.error is None:
                job.error = self._why(requested=attempt in self._running.values())
            yield job

    def _why(self, *, requested: bool) -> ExchangeError:
        if self._down is not None and not requested:
            return EndpointDown(f"not requested: {self._failed_in_a_row} requests in a row had no usable response")
        return OutOfTime(
            "no answer before the run's deadline" if requested else "not requested before the run's deadline"
        )

    def _add(self, heap: list[_Attempt[J]], attempt: _Attempt[J]) -> None:
        self._number += 1
        attempt.rank = attempt.rank[0], attempt.rank[1], self._number
        heapq.heappush(heap, attempt)
