"""Two processes whose calls at the edge alternate as a schedule says: one call at a time, the same each time."""

from __future__ import annotations

import threading
from collections.abc import Collection
from datetime import datetime, timedelta

from tests.support.clock import ManualClock
from tests.support.edge import Call, Fault
from tests.support.simulation import Job, World
from upbit_elt.errors import UpbitEltError

STEP = timedelta(milliseconds=20)  # what a call takes


class Actor:
    """A process that waits for its turn before every call and whenever it sleeps. It is the clock of its own job."""

    def __init__(self, name: str, clock: ManualClock) -> None:
        self.name, self._clock = name, clock
        self.calls: list[Call] = []
        self.wake = clock.now()
        self.done = False
        self.error: BaseException | None = None
        self._turn, self._back = threading.Semaphore(0), threading.Semaphore(0)

    def begin(self, world: World, job: Job) -> None:
        """Let the job wait for its first turn."""

        def body() -> None:
            self._turn.acquire()
            try:
                job(world.process(self, clock=self))
            except BaseException as error:  # noqa: BLE001 - whatever it is, the schedule checks it
                self.error = error
            self.done = True
            self._back.release()

        threading.Thread(target=body, name=self.name, daemon=True).start()

    def go_on(self) -> None:
        """Let it run until its next call, sleep or end."""
        self._turn.release()
        self._back.acquire()

    def __call__(self, call: Call) -> Fault:
        """What comes of a call: nothing but a wait for its turn."""
        self.calls.append(call)
        self._pause()
        return Fault.NONE

    def now(self) -> datetime:
        """The time that all share."""
        return self._clock.now()

    def monotonic(self) -> float:
        """The same in seconds."""
        return self._clock.monotonic()

    def since_boot(self) -> float:
        """The machine's, which all share."""
        return self._clock.since_boot()

    def boot(self) -> str:
        """The machine's, which all share."""
        return self._clock.boot()

    def sleep(self, seconds: float) -> None:
        """Nothing for so long; others go on meanwhile."""
        self.wake = self._clock.now() + timedelta(seconds=seconds)
        self._pause()

    def _pause(self) -> None:
        self._back.release()
        self._turn.acquire()


def run_both(world: World, jobs: tuple[Job, Job], switches: Collection[int], lapse: float = 0.0) -> tuple[Actor, Actor]:
    """Run two jobs at once; at the steps of `switches` it is the other's turn, else the one that runs goes on.

    Who sleeps is passed over. `lapse` seconds go by at the first switch: the first one was suspended for so long.
    Raises what neither job may end with.
    """
    actors = Actor("first", world.clock), Actor("second", world.clock)
    for actor, job in zip(actors, jobs, strict=True):
        actor.begin(world, job)
    current, step = 0, 0
    while not all(actor.done for actor in actors):
        awake = [number for number, actor in enumerate(actors) if not actor.done and actor.wake <= world.clock.now()]
        if not awake:
            world.clock.set(min(actor.wake for actor in actors if not actor.done))
            continue
        if step in switches:
            world.clock.set(world.clock.now() + timedelta(seconds=lapse if step == min(switches) else 0))
            current = 1 - current
        current = current if current in awake else awake[0]
        actors[current].go_on()
        world.clock.set(world.clock.now() + STEP)
        step += 1
    for actor in actors:
        if actor.error and not isinstance(actor.error, UpbitEltError):
            raise actor.error
    return actors


def alone(world: World, job: Job) -> list[Call]:
    """The calls of a job that nobody disturbs."""
    actor = Actor("alone", world.clock)
    actor.begin(world, job)
    while not actor.done:
        world.clock.set(max(world.clock.now(), actor.wake) + STEP)
        actor.go_on()
    return actor.calls
