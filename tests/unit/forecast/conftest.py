from __future__ import annotations

import pytest

from tests.unit.forecast.market import END, MemoryHive, MemoryLake, bounce, panel_of
from upbit_elt.forecast.artifacts import Champion
from upbit_elt.forecast.panel import Panel
from upbit_elt.forecast.train import TrainedModel, train
from upbit_elt.settings import Settings

MINUTES = 600
MARKETS = 8


@pytest.fixture
def lake() -> MemoryLake:
    return MemoryLake()


@pytest.fixture
def hive() -> MemoryHive:
    return MemoryHive()


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings(dataset="replica", base_url="http://127.0.0.1:8765")


@pytest.fixture(scope="session")
def reverting() -> Panel:
    """600 minutes of 8 markets whose prices jump between bid and ask."""
    return panel_of(bounce(MINUTES, MARKETS), MINUTES)


@pytest.fixture(scope="session")
def trained(reverting: Panel) -> TrainedModel:
    return train(reverting, now=END)


@pytest.fixture(scope="session")
def champion(trained: TrainedModel) -> Champion:
    return Champion(str(trained.card["version"]), trained.card, trained.net)
