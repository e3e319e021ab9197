"""What housekeeping takes from a real HDFS while Hive shows the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

import pytest

from tests.support.clock import utc
from tests.support.edges import DaemonEdge
from tests.support.exchange import minute_row
from tests.support.world import World
from upbit_elt.candle import Candle, to_table
from upbit_elt.clock import SystemClock
from upbit_elt.housekeeping.lake import clean_lake
from upbit_elt.lake.lease import lease
from upbit_elt.lake.parquet import encode
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.stack import environment
from upbit_elt.stack.names import REPO
from upbit_elt.warehouse.hive import Hive
from upbit_elt.warehouse.tables import daily_table, ensure_day

DAY = "261124"
NOW = utc(3, 30, 5)


class Deployment:
    """A dataset of its own, whose snapshots the test makes and switches."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lake, self.hive = Lake.from_settings(settings), Hive.from_settings(settings)
        self.folder = f"{settings.lake_root}/candle/{DAY}"

    def make(self, name: str, *minutes: int) -> str:
        rows = [Candle(**minute_row("KRW-BTC", utc(1, minute))) for minute in minutes]
        self.lake.publish(f"{self.folder}/{name}/candle.parquet", encode(to_table(rows)))
        return f"{self.folder}/{name}"

    def on_published(self, name: str) -> None:
        ensure_day(self.hive, self.settings, "candle", DAY, f"{self.folder}/{name}")

    def clean(self, hours: float = 0) -> list[str]:
        """What goes when the clock says that it is some hours later."""
        removed = clean_lake(self.settings, datetime.now(UTC) + timedelta(hours=hours), {})
        return [path.removeprefix(f"{self.settings.lake_root}/") for path in removed]

    def rows(self) -> list[list[tuple[Any, ...]]]:
        """What a reader of either table gets."""
        names = (daily_table("candle", DAY), "candle")
        return [self.hive.query(f"SELECT count(*), max(`timestamp`) FROM {self.settings.database}.{n}") for n in names]


@pytest.fixture
def here(daemons: Settings) -> Iterator[Deployment]:
    made = Deployment(daemons.model_copy(update={"dataset": f"replica_{uuid4().hex[:12]}"}))
    yield made
    for database in (made.settings.database, made.settings.bi_database):
        made.hive.execute(f"DROP DATABASE IF EXISTS {database} CASCADE")
    made.lake.delete(made.settings.lake_root)


def test_a_snapshot_is_removed_once_hive_has_shown_the_next_one_for_the_grace(here: Deployment) -> None:
    here.make("live-1", 5)
    here.make("live-2", 5, 6)
    here.on_published("live-2")
    here.make("day-1", 5, 6, 7)  # not shown yet: the run that made it died
    before = here.rows()
    assert here.clean(hours=23) == []
    assert here.clean(hours=25) == [f"candle/{DAY}/live-1"]
    assert here.rows() == before, "what a reader sees is untouched"

    here.on_published("day-1")
    after = here.rows()
    assert here.clean(hours=23) == [], "the grace begins with the switch"
    assert here.clean(hours=25) == [f"candle/{DAY}/live-2"]
    assert here.rows() == after != before
    assert here.clean(hours=1000) == []


def test_nothing_is_removed_of_a_day_whose_tables_disagree_or_are_missing(here: Deployment) -> None:
    live1, live2 = here.make("live-1", 5), here.make("live-2", 5, 6)
    assert here.clean(hours=25) == [], "Hive does not know the day"
    here.on_published("live-1")
    daily = f"{here.settings.database}.{daily_table('candle', DAY)}"
    here.hive.execute(f"ALTER TABLE {daily} SET LOCATION '{here.settings.hdfs_uri}{live2}'")
    assert here.clean(hours=25) == [], "the partition is still read"
    here.hive.execute(f"DROP TABLE {daily}")
    here.on_published("live-2")
    here.hive.execute(f"DROP TABLE {daily}")
    assert here.clean(hours=25) == [], "half of the day's tables"
    assert here.lake.exists(live1)


def test_orphans_are_removed_and_what_is_in_use_stays(here: Deployment) -> None:
    root, lake = here.settings.lake_root, here.lake
    here.make("live-1", 5)
    here.on_published("live-1")
    old = "f" * 32
    dead = [
        lake.stage(f"{here.folder}/live-1/a.parquet", b"half"),
        f"{here.folder}/_live-2.{old}",
        f"{root}/candle/_lease.{old}",
        f"{root}/candle/_backfill/261123/_a.parquet.{old}",
        f"{root}/model/_champion.json.{old}",
        f"{root}/forecast/{DAY}/live-1/__lease.{old}",
    ]
    lake.publish(f"{dead[1]}/candle.parquet", b"half")
    for path in dead[2:]:
        lake.create(path, b"{}")
    kept = [f"{root}/candle/_backfill/261123/KRW-BTC.parquet", f"{root}/model/champion.json", f"{here.folder}/_proven"]
    for path in kept:
        lake.create(path, b"{}")
    with lease(lake, here.folder, SystemClock()), lease(lake, f"{root}/candle/_backfill", SystemClock()):
        assert here.clean(hours=23) == []
        assert sorted(here.clean(hours=25)) == sorted(path.removeprefix(f"{root}/") for path in dead)
        kept += [f"{here.folder}/_lease", f"{root}/candle/_backfill/_lease"]
        assert all(lake.exists(path) for path in kept)
    assert not any(lake.exists(path) for path in dead)


def test_quarantined_rows_are_removed_when_their_day_is_old(here: Deployment) -> None:
    root = f"{here.settings.lake_root}/rejected"
    for name in (f"{DAY}/a.json", "notes/b.json"):
        here.lake.create(f"{root}/{name}", b"{}")
    assert here.clean(hours=29 * 24) == []
    assert here.clean(hours=31 * 24) == [f"rejected/{DAY}"]
    assert [entry.name for entry in here.lake.list(root)] == ["notes"]


def test_by_hand_it_can_first_say_what_would_go(here: Deployment) -> None:
    path = here.lake.stage(f"{here.folder}/live-1/a.parquet", b"half")
    days_ago = datetime.now(UTC) - timedelta(days=2)
    here.lake.date(path, days_ago)

    def run(*options: str) -> list[str]:
        variables = os.environ | environment.application(here.settings) | {"PYTHONPATH": str(REPO / "plugins")}
        command = [sys.executable, "-m", "upbit_elt", "clean", *options]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.splitlines()

    assert run("--dry-run") == [path, "1 paths would go"]
    assert here.lake.exists(path)
    assert run() == [path, "1 paths removed"]
    assert run() == ["0 paths removed"]


def test_readers_and_writers_go_on_while_it_cleans(daemons: Settings, tmp_path: Path) -> None:
    world = World(DaemonEdge(daemons), tmp_path, NOW, markets=3, history_days=1)
    try:
        world.collect()
        world.fill_history(NOW + timedelta(hours=2))
        world.collect(utc(3, 32, 5))
        start, end = utc(15, day=22), utc(3, 32)
        truth, over = world.truth(start, end), Event()

        def read() -> int:
            """Reads of the whole table, all of them right, until housekeeping is done and once more."""
            done = 0
            while True:
                last = over.is_set()
                assert world.in_hive(start, end) == truth
                done += 1
                if last:
                    return done

        with ThreadPoolExecutor(1) as pool:
            reader = pool.submit(read)
            removed = clean_lake(world.settings, datetime.now(UTC) + timedelta(hours=25), {})
            over.set()
            assert reader.result() >= 1
        assert removed == [f"{world.settings.lake_root}/candle/{DAY}/live-1"]
        world.collect(utc(3, 34, 5))
        assert world.in_hive(start, utc(3, 34)) == world.truth(start, utc(3, 34))
        assert world.fill_history(NOW + timedelta(hours=2)).candles == 0, "it requests nothing again"
    finally:
        world.close()
