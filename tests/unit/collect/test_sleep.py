"""A laptop that sleeps in the middle of a live run: it wakes with cut connections, and nothing is lost or doubled."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from tests.support.clock import utc
from tests.support.exchange import Reply
from tests.support.world import FINE, MemoryWorld
from upbit_elt.errors import UpbitEltError

START = utc(3, 0, 5)


def sleeping(world: MemoryWorld, request: int, hours: float) -> None:
    """At its `request`-th request the machine falls asleep; when it wakes, the connection is gone."""
    number = iter(range(10_000))

    def spoil(path: str, query: dict[str, str]) -> Reply | None:
        if next(number) == request:
            world.clock.suspend(hours * 3600)
            raise requests.ConnectionError("Connection reset by peer")
        return None

    world.wire.spoil = spoil


@pytest.mark.parametrize(
    ("request_number", "hours"), [(0, 0.05), pytest.param(1, 1, marks=pytest.mark.soak), (3, 1), (2, 14)]
)
def test_the_next_runs_fetch_what_a_sleep_missed(tmp_path: Path, request_number: int, hours: float) -> None:
    world = MemoryWorld(tmp_path, START, history_days=0)
    world.collect()
    sleeping(world, request_number, hours)
    with suppress(UpbitEltError):
        world.collect(START + timedelta(minutes=2))
    assert world.clock.now() > START + timedelta(hours=hours), "it slept"
    world.wire.spoil = FINE
    for _ in range(2):
        world.collect(world.clock.now() + timedelta(minutes=2))
    world.fill_history()
    last = world.collect(world.clock.now() + timedelta(minutes=2)).end
    begin = START - timedelta(minutes=30)
    assert world.stored(begin, last) == world.truth(begin, last)
    world.client.close()
