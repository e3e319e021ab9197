"""Readers that query in a loop while a day is rolled up, repaired and closed: each count is one that was published."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.clock import utc
from tests.support.edges import DaemonEdge
from tests.support.world import World
from upbit_elt import pipeline
from upbit_elt.closing import Closer
from upbit_elt.lake import layout, publish
from upbit_elt.lake.lease import lease
from upbit_elt.settings import Settings
from upbit_elt.warehouse import show, tables
from upbit_elt.warehouse.hive import Hive

DAY = "261124"
START, END = utc(15, day=23), utc(15)


class Reading(NamedTuple):
    """A count that a reader got, and how many rows were there at least and at most while it asked."""

    sql: str
    found: int
    least: int
    most: int


class Readers:
    """Threads that count the day in three ways, as long as the block lasts."""

    def __init__(self, hive: Hive, database: str) -> None:
        self._hive = hive
        self.least = self.most = 0
        self.readings: list[Reading] = []
        self.errors: list[Exception] = []
        self._stop = threading.Event()
        keys = "SELECT market, candle_date_time_utc FROM"
        self._questions: list[tuple[str, Callable[[list[tuple[object, ...]]], int]]] = [
            (f"SELECT count(*) FROM {database}.candle WHERE dt='2026-11-24'", lambda rows: int(str(rows[0][0]))),
            (f"{keys} {database}.candle_{DAY}", len),
            (f"{keys} {database}.candle WHERE dt='2026-11-24'", len),
        ]

    def _read(self, sql: str, count: Callable[[list[tuple[object, ...]]], int]) -> None:
        while not self._stop.is_set():
            least = self.least
            try:
                rows = self._hive.query(sql)
            except Exception as error:  # noqa: BLE001 - whatever a reader gets is a finding
                self.errors.append(error)
                return
            self.readings.append(Reading(sql, count(rows), least, self.most))

    @contextmanager
    def asking(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._read, args=question) for question in self._questions]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def wrong(self) -> list[Reading]:
        return [reading for reading in self.readings if not reading.least <= reading.found <= reading.most]


@pytest.fixture
def world(daemons: Settings, tmp_path: Path) -> Iterator[World]:
    made = World(DaemonEdge(daemons), tmp_path, utc(14, 40, 5), markets=5, history_days=0)
    yield made
    made.close()


def run_through(world: World, readers: Readers) -> None:
    """Windows, roll-ups, a repair, the close and a late candle, as the pipeline does them."""

    def published(until: datetime) -> int:
        return len(world.truth(START, min(until.replace(second=0), END)))

    def collect(moment: datetime) -> None:
        readers.most = published(moment)
        world.collect(moment)
        readers.least = readers.most

    def new_generation(*, complete: bool) -> None:
        with lease(world.lake, layout.day_folder(world.lake.root, "candle", DAY), world.clock) as held:
            publish.rewrite(world.lake, DAY, "test", held, complete=complete)
        pipeline.show(world.settings, [DAY])

    readers.least = readers.most = published(utc(14, 40))
    with readers.asking():
        for minute in range(42, 60, 2):
            collect(utc(14, minute, 5))
            if minute % 6 == 0:
                new_generation(complete=False)
        collect(utc(15, 0, 5))
        collect(utc(15, 2, 5))
        Closer(world.lake, world.hive, world.settings, world.clock).run("test", with_holes=True)
        new_generation(complete=True)
        new_generation(complete=True)


def test_every_count_of_every_reader_is_right_during_every_switch(world: World) -> None:
    world.collect()
    world.fill_history(utc(14, 41) + timedelta(hours=1))
    readers = Readers(world.hive, world.settings.database)
    run_through(world, readers)
    assert readers.errors == []
    assert readers.wrong() == []
    assert {reading.sql for reading in readers.readings} == {sql for sql, _ in readers._questions}
    assert len({reading.found for reading in readers.readings}) > 3, "readers saw the day grow"
    assert tables.locations(world.hive, world.settings, "candle", [DAY])[DAY].endswith("/day-3")
    assert world.in_hive(START, END) == world.truth(START, END)


def test_the_readers_see_a_switch_that_is_done_wrongly(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the new generation appears beside the old one's files in the folder that Hive reads."""
    world.collect()
    world.fill_history(utc(14, 41) + timedelta(hours=1))
    right = tables.ensure_day

    def too_high(hive: Hive, settings: Settings, kind: layout.Kind, day: str, location: str) -> None:
        right(hive, settings, kind, day, location.rsplit("/", 1)[0])

    monkeypatch.setattr(show, "ensure_day", too_high)
    readers = Readers(world.hive, world.settings.database)
    readers.least = readers.most = len(world.truth(START, utc(14, 40)))
    with readers.asking():
        with lease(world.lake, layout.day_folder(world.lake.root, "candle", DAY), world.clock) as held:
            publish.rewrite(world.lake, DAY, "test", held, complete=False)
        pipeline.show(world.settings, [DAY])
        before = len(readers.readings)
        while len(readers.readings) < before + 6 and not readers.errors:
            threading.Event().wait(0.05)
    assert readers.wrong()
