"""Where the lake and the tables of a test are: in memory, or on real daemons."""

from __future__ import annotations

from typing import Protocol

from pydantic import SecretStr

from tests.support.hdfs import MemoryHdfs
from tests.support.hive import MemoryHive
from upbit_elt.clock import Clock
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive


class Edge(Protocol):
    """A HDFS and a HiveServer2; `settings` are those of a deployment on them, of which a test takes a dataset."""

    settings: Settings

    def open(self, settings: Settings, clock: Clock) -> tuple[Lake, Hive]:
        """Lake and warehouse of a dataset, as a process with this clock sees them."""


class DaemonEdge:
    """The real ones. Their clock is the machine's, whatever the test's clock says."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def open(self, settings: Settings, clock: Clock) -> tuple[Lake, Hive]:
        """Lake and warehouse of a dataset."""
        return Lake.from_settings(settings), Hive.from_settings(settings)


class MemoryEdge:
    """Both in memory, with the real ones' semantics; made with the first dataset that is opened, on its clock."""

    def __init__(self) -> None:
        self.settings = Settings(dataset="replica", base_url="http://exchange", flask_token=SecretStr("test-token"))
        self._hive: MemoryHive | None = None

    def open(self, settings: Settings, clock: Clock) -> tuple[Lake, Hive]:
        """Lake and warehouse of a dataset."""
        self._hive = self._hive or MemoryHive(MemoryHdfs(clock))
        return Lake(self._hive.hdfs.client(), settings.lake_root), self._hive.client(settings)
