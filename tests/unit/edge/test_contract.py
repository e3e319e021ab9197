"""The fakes do what the contract says; tests/integration/test_contract.py holds the real daemons to the same checks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.clock import ManualClock, utc
from tests.support.contract import CHECKS, Edge, own_settings
from tests.support.hdfs import MemoryHdfs
from tests.support.hive import MemoryHive
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_fakes_keep_the_contract(check: Callable[[Edge], None], tmp_path: Path) -> None:
    here = own_settings(Settings(base_url="http://exchange", dataset="replica", state_dir=tmp_path))
    hdfs = MemoryHdfs(ManualClock(utc(3)))
    check(Edge(Lake(hdfs.client()), MemoryHive(hdfs).client(here), here, "/contract"))
