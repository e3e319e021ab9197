"""What is noted of days is found by one listing, kept right by every run, and derived again when it is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.idle import Deployment
from upbit_elt.flows import min_candle
from upbit_elt.housekeeping.lake import check_days_in
from upbit_elt.lake import layout, pending, publish
from upbit_elt.lake.layout import Kind
from upbit_elt.lake.lease import lease
from upbit_elt.lake.pending import Pending
from upbit_elt.quality import results
from upbit_elt.quality.reconcile import wanted
from upbit_elt.warehouse.tables import locations

TODAY, YESTERDAY, BEFORE = "261124", "261123", "261122"
OPEN = [Pending("close", "candle", TODAY), Pending("close", "forecast", TODAY)]


@pytest.fixture
def idle(tmp_path: Path) -> Deployment:
    return Deployment(3, tmp_path, rounds=1)


def compacted(idle: Deployment, day: str, *, complete: bool = False) -> str:
    """A new snapshot of a day, whose writer dies before registering it; its path."""
    with lease(idle.lake, layout.day_folder(idle.lake.root, "candle", day), idle.clock) as held:
        return publish.rebuild_snapshot(idle.lake, day, "test", held, complete=complete).folder


def shown(idle: Deployment, day: str, kind: Kind = "candle") -> str:
    return locations(idle.hive, idle.settings, kind, [day])[day]


def check_days(idle: Deployment) -> list[str]:
    return check_days_in(idle.lake, idle.hive, idle.settings, idle.clock.now())


def test_only_the_open_days_are_noted_of_a_lake_in_which_nothing_waits(idle: Deployment) -> None:
    assert pending.listing(idle.lake) == OPEN
    assert check_days(idle) == []


def test_a_snapshot_whose_writer_died_before_registering_it_is_registered_by_the_next_run(idle: Deployment) -> None:
    folder = compacted(idle, TODAY)
    assert shown(idle, TODAY) != folder
    assert min_candle.register_in(idle.hive, idle.lake, idle.settings, []) == [TODAY]
    assert shown(idle, TODAY) == folder
    assert pending.listing(idle.lake) == OPEN


def test_a_snapshot_that_was_never_made_is_forgotten_by_the_next_close(idle: Deployment) -> None:
    pending.add(idle.lake, Pending("register", "candle", TODAY, "live-9"))
    with lease(idle.lake, layout.day_folder(idle.lake.root, "candle", TODAY), idle.clock):
        idle.close()
        assert len(pending.listing(idle.lake)) == 3, "its writer may be at work"
    idle.close()
    assert pending.listing(idle.lake) == OPEN


def test_a_new_snapshot_of_an_old_proven_day_is_news(idle: Deployment) -> None:
    assert wanted(idle.lake, idle.clock.now()) == []
    folder = compacted(idle, YESTERDAY, complete=True)
    assert wanted(idle.lake, idle.clock.now()) == [YESTERDAY], "though it was not registered"
    min_candle.register_in(idle.hive, idle.lake, idle.settings, [])
    assert shown(idle, YESTERDAY) == folder
    assert Pending("reconcile", "candle", YESTERDAY, "day-2") in pending.listing(idle.lake)
    assert wanted(idle.lake, idle.clock.now()) == [YESTERDAY]
    with lease(idle.lake, layout.kind_folder(idle.lake.root, "reconciliation"), idle.clock) as held:
        results.publish(idle.lake, YESTERDAY, [], "day-2", "proven", held)
    idle.ten_minutes()
    assert pending.listing(idle.lake) == OPEN
    assert shown(idle, YESTERDAY, "reconciliation").endswith("/day-2")


@pytest.mark.parametrize("first", ["close", "prove", "housekeeping"])
def test_notes_that_are_lost_are_derived_from_the_lake(idle: Deployment, first: str) -> None:
    """As on a lake of an earlier release, which has none."""
    compacted(idle, YESTERDAY, complete=True)
    min_candle.register_in(idle.hive, idle.lake, idle.settings, [])
    before = pending.listing(idle.lake)
    idle.lake.delete(layout.pending_folder(idle.lake.root))
    if first == "close":
        idle.close()
    elif first == "prove":
        assert wanted(idle.lake, idle.clock.now()) == [YESTERDAY]
    else:
        check_days(idle)
    assert set(before) - {Pending("close", "forecast", TODAY)} <= set(pending.listing(idle.lake))
    idle.close()
    assert pending.listing(idle.lake) == before


def test_pending_markers_of_an_earlier_release_are_honoured(idle: Deployment) -> None:
    """Its writer died between the rename and Hive: the day is over, and no run touches it any more."""
    folder = compacted(idle, BEFORE, complete=True)
    pending.remove(idle.lake, pending.registering("candle", folder))
    mark = f"{layout.day_folder(idle.lake.root, 'candle', BEFORE)}/_unshown-day-2"
    idle.lake.create(mark, b"")
    assert check_days(idle) == [f"reconcile.candle.{BEFORE}.day-2", f"candle {BEFORE}"]
    assert shown(idle, BEFORE) == folder
    assert not idle.lake.exists(mark)
    assert wanted(idle.lake, idle.clock.now()) == [BEFORE]


def test_housekeeping_creates_a_dropped_table_again(idle: Deployment) -> None:
    idle.hive.execute(f"DROP TABLE {idle.settings.database}.candle_{BEFORE}")
    assert check_days(idle) == [f"candle {BEFORE}"]
    assert check_days(idle) == []


def test_a_day_begun_while_nobody_closed_is_noted(idle: Deployment) -> None:
    for entry in OPEN:
        pending.remove(idle.lake, entry)
        pending.add(idle.lake, entry._replace(day=BEFORE))
    idle.close()
    assert pending.listing(idle.lake) == OPEN, "what is closed is struck out"


def test_no_marker_is_written_twice_and_an_unknown_name_is_left_alone(idle: Deployment) -> None:
    for _ in range(2):
        pending.add(idle.lake, OPEN[0])
    idle.lake.create(f"{layout.pending_folder(idle.lake.root)}/other.candle.{TODAY}", b"")
    assert pending.listing(idle.lake) == OPEN
