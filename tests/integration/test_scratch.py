"""What Hive writes beside the data, on the machine and in HDFS, goes; also of a HiveServer2 that was killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.machine import Machine
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.waiting import until
from upbit_elt.warehouse.hive import Hive


def sessions(lake: Lake, stack: StackSettings) -> Iterator[str]:
    """Folders of sessions in HDFS."""
    root = f"{stack.data_dir}/tmp/hive-scratch"
    for user in lake.list(root):
        yield from (entry.name for entry in lake.list(f"{root}/{user.name}"))


@pytest.mark.soak
def test_files_of_a_killed_hiveserver2_are_removed_and_those_of_a_running_one_stay(
    machine: Machine, daemons: Settings, daemon_stack: StackSettings
) -> None:
    lake, hive, tmp = Lake.from_settings(daemons), Hive.from_settings(daemons), daemon_stack.data_dir / "tmp"
    with ExitStack() as opened:
        for _ in range(3):
            opened.enter_context(hive.session()).query("SHOW DATABASES")
        left = {*sessions(lake, daemon_stack)}
        on_disk = {path.name for path in tmp.glob("*_resources")}
        assert min(len(left), len(on_disk)) >= 3
        machine.kill("hiveserver2")
    machine.revive()
    with hive.session() as session:
        session.query("SHOW DATABASES")

        def stays() -> str | None:
            return ", ".join(left & {*sessions(lake, daemon_stack)}) or None

        assert until(stays, 120, lambda _: None) is None
        assert not on_disk & {path.name for path in tmp.glob("*_resources")}
        assert [*sessions(lake, daemon_stack)], "those of the server that runs"
        assert session.query("SELECT count(*) FROM (SELECT 1 AS a) one") == [(1,)]
