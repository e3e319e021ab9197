"""A pause of three minutes of a real NameNode, DataNode and HiveServer2: the watchdog's limits leave them alone."""

from __future__ import annotations

import time

import pytest

from tests.support.machine import Machine
from upbit_elt.stack.health import Hung
from upbit_elt.stack.restarts import since_boot
from upbit_elt.stack.watchdog import Limits, ServiceWatch
from upbit_elt.warehouse.hive import Hive

PAUSE = 180.0


@pytest.mark.timeout(900)
def test_daemons_that_were_paused_for_three_minutes_go_on_and_are_not_restarted(machine: Machine) -> None:
    """Frozen they are found hung by their own checks; what counts is forgotten after a pause of the watchdog's own."""
    limits = Limits()
    watches = {service.name: ServiceWatch(limits) for service in machine.services}
    verdicts: list[str | None] = []

    def look() -> dict[str, str | None]:
        found = {service.name: service.check() for service in machine.services}
        verdicts.extend(watches[name].decide(since_boot(), 1, trouble) for name, trouble in found.items())
        return found

    assert set(look().values()) == {None}
    with machine.paused():
        frozen = look()
        time.sleep(PAUSE)  # the pause itself
    assert isinstance(frozen["namenode"], Hung)
    assert frozen["hiveserver2"]
    assert not isinstance(frozen["hiveserver2"], Hung), "it waits for the NameNode"
    machine.revive()
    assert set(look().values()) == {None}
    assert set(verdicts) == {None}
    assert Hive.from_settings(machine.settings).query("SELECT 1") == [(1,)]
    assert set(machine.kills.values()) == {machine.kills["namenode"]}
