"""Every call of a job at the edge, and everything that can come of it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support.edge import Call, Fault, Killed
from tests.support.invariants import assert_right, assert_safe, seen
from tests.support.simulation import Job, Trace, World
from upbit_elt.errors import UpbitEltError

CHANGES = ("CREATE", "WRITE", "RENAME", "DELETE", "MKDIRS", "ALTER", "DROP")
READS = (Fault.ANSWER_LOST, Fault.REFUSED, Fault.NEVER_ARRIVES, Fault.SLOW)


@dataclass
class Found:
    """What a job met: `cases` by fault, and those after which something stayed broken."""

    calls: int = 0
    cases: Counter[Fault] = field(default_factory=Counter)
    rounds: Counter[int] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        faults = ", ".join(f"{fault.name.lower()} {count}" for fault, count in sorted(self.cases.items(), key=str))
        rounds = ", ".join(f"{count} after {number}" for number, count in sorted(self.rounds.items()))
        return f"{self.calls} calls, {self.cases.total()} cases ({faults}); right again: {rounds} rounds of runs"


def faults_of(call: Call) -> tuple[Fault, ...]:
    """What can come of a call; a death before a read is one after the change before it."""
    if call.edge == "http":
        return (*READS, Fault.CUT, Fault.DIES_BEFORE)
    if call.name == "WRITE":
        return (Fault.DIES_BEFORE, Fault.DIES_HALFWAY, Fault.CUT, Fault.DIES_AFTER, *READS)
    if call.name in CHANGES:
        return (Fault.DIES_BEFORE, Fault.DIES_AFTER, *READS)
    return (*READS, Fault.CUT) if call.name == "OPEN" else READS


def every_case(calls: list[Call], thin: int) -> Iterator[tuple[int, Fault]]:
    """Places and faults; with `thin` > 1 one fault at every `thin`-th call, another each time."""
    for place, call in enumerate(calls):
        faults = faults_of(call)
        if thin == 1:
            yield from ((place, fault) for fault in faults)
        elif place % thin == len(calls) % thin:
            quick = [fault for fault in faults if fault is not Fault.SLOW]
            yield place, quick[place // thin % len(quick)]


def try_every_call(world: World, job: Job, thin: int = 1) -> Found:
    """Let each fault happen at each call of a job, each time to a copy of the world, and check what becomes of it."""
    trace = Trace()
    job(world.copy().process(trace))
    found = Found(calls=len(trace.calls))
    for place, fault in every_case(trace.calls, thin):
        found.cases[fault] += 1
        try:
            found.rounds[_try(world.copy(), job, place, fault)] += 1
        except AssertionError as error:
            found.broken.append(f"{fault.name} at call {place}, {trace.calls[place]}: {error}")
    return found


def _try(world: World, job: Job, place: int, fault: Fault) -> int:
    before = seen(world)
    try:
        job(world.process(Trace(place, fault)))
    except (Killed, UpbitEltError) as end:
        logging.getLogger(__name__).debug("the run ended with %r", end)
    assert_safe(world, before)
    return assert_right(world, still=place % 4 == 0)
