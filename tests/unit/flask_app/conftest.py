"""Worlds for the service's tests, and one small model trained for all of them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.flask_app.world import MARKETS, NOON, World, candle, minutes, trades
from upbit_elt.candle import to_table
from upbit_elt.forecast.artifacts import save_model
from upbit_elt.forecast.panel import Panel
from upbit_elt.forecast.train import TrainedModel, train


@pytest.fixture
def empty_world() -> World:
    """Nothing collected yet."""
    return World()


@pytest.fixture(scope="session")
def published() -> World:
    """Two days and a half up to noon KST: the day before yesterday, yesterday, and today so far."""
    world = World()
    world.publish(NOON - timedelta(hours=60), NOON)
    return world


@pytest.fixture
def world(published: World) -> World:
    """A world of its own that holds what was published."""
    world = World()
    world.lake.files.update(published.lake.files)
    world.hive.places.update(published.hive.places)
    return world


@pytest.fixture(scope="session")
def trained() -> TrainedModel:
    """A provisional model of five hours."""
    start = NOON - timedelta(hours=5)
    rows = [candle(market, t) for market in MARKETS for t in minutes(start, NOON) if trades(market, t)]
    return train(Panel.from_table(to_table(rows), end=NOON, minutes=300), now=NOON)


@pytest.fixture
def forecasting(world: World, trained: TrainedModel) -> World:
    """The world with a champion."""
    save_model(world.lake, trained)
    return world
