"""The real daemons do what the fakes at the edge do: the checks are those of tests/unit/edge/test_contract.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from tests.support.contract import CHECKS, Edge, own_settings
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive


@pytest.fixture
def edge(daemons: Settings) -> Iterator[Edge]:
    here = own_settings(daemons)
    made = Edge(Lake.from_settings(here), Hive.from_settings(here), here, f"/contract-{uuid4().hex}")
    yield made
    for database in (here.database, here.bi_database):
        made.hive.execute(f"DROP DATABASE IF EXISTS {database} CASCADE")
    made.lake.delete(made.folder)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_real_ones_keep_the_contract(check: Callable[[Edge], None], edge: Edge) -> None:
    check(edge)
