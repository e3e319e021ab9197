"""Readers that query in a loop while a day is compacted, repaired and closed: each count is one that was published."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.clock import utc
from tests.support.edges import DaemonEdge
from tests.support.world import World
from upbit_elt.flows import min_candle
from upbit_elt.flows.close_day import Closer
from upbit_elt.lake import layout, publish
from upbit_elt.lake.lease import lease
from upbit_elt.settings import Settings
from upbit_elt.warehouse import tables
from upbit_elt.warehouse.hive import Hive, Statements

DAY = "261124"
START, END = utc(15, day=23), utc(15)


class Reading(NamedTuple):
    """A count that a reader got, and how many rows were there at least and at most during its query."""

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
        self._stop, self._news = threading.Event(), threading.Condition()
        keys = "SELECT market, candle_date_time_utc FROM"
        self.questions: list[tuple[str, Callable[[list[tuple[object, ...]]], int]]] = [
            (f"SELECT count(*) FROM {database}.candle WHERE dt='2026-11-24'", lambda rows: int(str(rows[0][0]))),
            (f"{keys} {database}.candle_{DAY}", len),
            (f"{keys} {database}.candle WHERE dt='2026-11-24'", len),
        ]

    def _read(self, sql: str, count: Callable[[list[tuple[object, ...]]], int]) -> None:
        while not self._stop.is_set():
            least = self.least
            try:
                rows = self._hive.query(sql)
            except Exception as error:  # noqa: BLE001 - whatever a reader gets counts
                with self._news:
                    self.errors.append(error)
                    self._news.notify_all()
                return
            with self._news:
                self.readings.append(Reading(sql, count(rows), least, self.most))
                self._news.notify_all()

    @contextmanager
    def asking(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._read, args=question) for question in self.questions]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def await_more(self, number: int) -> None:
        """Wait until so many more questions have been answered, or one has failed."""
        wanted = len(self.readings) + number
        with self._news:
            assert self._news.wait_for(lambda: len(self.readings) >= wanted or self.errors, 300)

    def wrong(self) -> list[Reading]:
        return [reading for reading in self.readings if not reading.least <= reading.found <= reading.most]


@pytest.fixture
def world(daemons: Settings, tmp_path: Path) -> Iterator[World]:
    made = World(DaemonEdge(daemons), tmp_path, utc(14, 40, 5), markets=5, history_days=0)
    yield made
    made.close()


def run_through(world: World, readers: Readers) -> None:
    """Windows, compactions, a repair, the close and a late candle, as the pipeline does them."""

    def published(until: datetime) -> int:
        return len(world.truth(START, min(until.replace(second=0), END)))

    def collect(moment: datetime) -> None:
        readers.most = published(moment)
        world.collect(moment)
        readers.least = readers.most

    def new_snapshot(*, complete: bool) -> None:
        with lease(world.lake, layout.day_folder(world.lake.root, "candle", DAY), world.clock) as held:
            publish.rebuild_snapshot(world.lake, DAY, "test", held, complete=complete)
        world.on_published(DAY)

    readers.least = readers.most = published(utc(14, 40))
    with readers.asking():
        for minute in range(42, 60, 2):
            collect(utc(14, minute, 5))
            if minute % 6 == 0:
                new_snapshot(complete=False)
        collect(utc(15, 0, 5))
        collect(utc(15, 2, 5))
        Closer(world.lake, world.hive, world.settings, world.clock).run("test", with_holes=True)
        new_snapshot(complete=True)
        new_snapshot(complete=True)


def test_every_count_of_every_reader_is_right_during_every_switch(world: World) -> None:
    world.collect()
    world.fill_history(utc(14, 41) + timedelta(hours=1))
    readers = Readers(world.hive, world.settings.database)
    run_through(world, readers)
    assert readers.errors == []
    assert readers.wrong() == []
    assert {reading.sql for reading in readers.readings} == {sql for sql, _ in readers.questions}
    assert len({reading.found for reading in readers.readings}) > 3, "readers saw the day grow"
    assert tables.locations(world.hive, world.settings, "candle", [DAY])[DAY].endswith("/day-3")
    assert world.in_hive(START, END) == world.truth(START, END)


class TooHigh:
    """A session that points at the folder above the given one."""

    def __init__(self, inner: Statements) -> None:
        self._inner = inner

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        return self._inner.query(sql, parameters)

    def execute(self, *statements: str) -> None:
        self._inner.execute(*(re.sub(r"(SET LOCATION '[^']+)/[^/']+'", r"\1'", sql) for sql in statements))


class TooHighHive(Hive):
    """Its sessions are TooHigh."""

    def __init__(self, inner: Hive) -> None:
        self._inner = inner

    @contextmanager
    def session(self) -> Iterator[Statements]:
        with self._inner.session() as inner:
            yield TooHigh(inner)


def test_the_readers_see_a_switch_that_is_done_wrongly(world: World) -> None:
    """Planted: the new snapshot appears beside the old one's files in the folder that Hive reads."""
    world.collect()
    world.fill_history(utc(14, 41) + timedelta(hours=1))
    readers = Readers(world.hive, world.settings.database)
    readers.least = readers.most = len(world.truth(START, utc(14, 40)))
    with readers.asking():
        with lease(world.lake, layout.day_folder(world.lake.root, "candle", DAY), world.clock) as held:
            publish.rebuild_snapshot(world.lake, DAY, "test", held, complete=False)
        min_candle.register_in(TooHighHive(world.hive), world.lake, world.settings, [DAY])
        readers.await_more(6)
    assert readers.wrong()
