"""The candle endpoint fails for 15 minutes: what people and programs see each minute, and that it ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flask_app import create_app
from tests.support.clock import utc
from tests.support.edges import MemoryEdge
from tests.support.world import World
from upbit_elt.candle import MINUTE
from upbit_elt.replica.outage import parse_outages
from upbit_elt.stack.status import DataProgress

FAILS, RECOVERS, ENDS = 2, 17, 22


class Minute(NamedTuple):
    """What was said `number` minutes after 12:00 KST: the live run's outage, the service's answers, `./run status`."""

    number: int
    run: str
    status: dict[str, Any]
    ready: tuple[int, str]
    services: int
    troubles: list[str]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(MemoryEdge(), tmp_path, utc(2, 58, 5))
    made.collect()
    yield made
    made.client.close()


def minutes(world: World) -> Iterator[Minute]:
    """A live run every 2 minutes; 50 s into each minute somebody looks."""
    app = create_app(world.settings, hive=world.hive, lake=world.lake, clock=world.clock).test_client()
    for number in range(ENDS):
        moment = utc(3) + number * MINUTE
        failing = FAILS <= number < RECOVERS
        world.faults.outages = lambda failing=failing: parse_outages("candles=503" if failing else "")  # type: ignore[misc]
        run = world.collect(moment + timedelta(seconds=5)).outage if number % 2 == 0 else ""
        world.clock.set(max(world.clock.now(), moment + timedelta(seconds=50)))
        status, ready = app.get("/api/v1/status").get_json(), app.get("/readyz")
        troubles = DataProgress.model_validate(status).troubles
        services = app.get("/readyz/services").status_code
        yield Minute(number, run, status, (ready.status_code, ready.get_json().get("detail", "")), services, troubles)


def test_missing_candles_are_never_served_as_fresh(world: World) -> None:
    said = list(minutes(world))
    for one in said:
        known = one.status["covered_until"]
        assert known == ("2026-11-24T03:00:00Z" if FAILS <= one.number < RECOVERS + 1 else known), one.number
        assert one.services == 200, "no supervisor starts anything again"
        assert bool(one.troubles) == (one.ready[0] == 503) == bool(one.status["stale_markets"]), one.number
    assert [one.number for one in said if one.run] == [2, 4, 6, 8, 10, 12, 14, 16], "red in Airflow"
    assert [one.number for one in said if one.ready[0] == 503] == list(range(5, RECOVERS + 1))
    worst = said[RECOVERS]
    assert worst.status["looked_until"] == "2026-11-24T03:16:00Z"
    assert worst.status["lag_seconds"] == 17 * 60 + 50
    assert "markets are stale, known only until 2026-11-24T03:00Z, 17 min ago (" in worst.ready[1]
    assert worst.troubles == [worst.ready[1]]
    assert (said[-1].status["stale"], said[-1].ready[0]) == (None, 200)
    end = utc(3, 20)
    assert world.in_hive(utc(3), end) == world.truth(utc(3), end)
