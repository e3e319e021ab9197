"""Compaction within the day and the close of it, with faults at the edge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.support.clock import utc
from tests.support.edges import Edge
from tests.support.exchange import headers_at
from tests.support.hooks import HookedSession
from tests.support.world import FINE, World, unlisted
from upbit_elt import errors
from upbit_elt.candle import to_table
from upbit_elt.flows.close_day import Closed, Closer
from upbit_elt.holes import HoleReason
from upbit_elt.lake import layout, ledger, pending, publish
from upbit_elt.lake.backfill_queue import BackfillQueue
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.lease import lease
from upbit_elt.lake.parquet import coverage_of, decode, encode, read_coverage, read_notes
from upbit_elt.lake.publish import MOST_FILES
from upbit_elt.lake.snapshot import read_files
from upbit_elt.lake.table_spec import CANDLE
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.warehouse.hive import Hive, Statements
from upbit_elt.warehouse.tables import is_registered, locations

# 23:50 KST of the 24th; the day ends at 15:00 UTC.
EVENING = utc(14, 50, 5)
START, END = utc(15, day=23), utc(15)
DAY, NEXT = "261124", "261125"


@pytest.fixture
def world(edge: Edge, tmp_path: Path) -> Iterator[World]:
    made = World(edge, tmp_path, EVENING, markets=5, history_days=0)
    yield made
    made.close()


def close(world: World, lake: Lake | None = None, hive: Hive | None = None, **options: Any) -> Closed:
    return Closer(lake or world.lake, hive or world.hive, world.settings, world.clock).run("test", **options)


def shown(world: World, day: str = DAY) -> str:
    return locations(world.hive, world.settings, "candle", [day])[day].rsplit("/", 1)[1]


def whole_day(world: World) -> None:
    """The day from its beginning on, and the first minutes of the next one."""
    world.collect()
    world.fill_history(EVENING + timedelta(hours=1))
    world.collect(utc(14, 58, 5))
    world.collect(utc(15, 2, 5))


def assert_right(world: World, end: datetime) -> None:
    assert world.in_hive(START, end) == world.truth(START, end)
    ((count,),) = world.hive.query(f"SELECT count(*) FROM {world.settings.database}.candle_{DAY}")
    assert count == len(world.truth(START, min(end, END)))
    assert [entry for entry in pending.listing(world.lake) if entry.task == "register"] == []


@pytest.mark.daemons
def test_many_small_files_of_an_open_day_become_one_and_the_live_runs_go_on(world: World) -> None:
    moment = utc(3, 0, 5)
    for _ in range(MOST_FILES):
        moment += timedelta(minutes=2)
        last = world.collect(moment)
    first = utc(3, 2) - timedelta(minutes=200)
    assert last.files[0].file_name == layout.window_name(last.start, last.end)
    snapshot = ledger.current(world.lake, "candle", DAY)
    assert snapshot is not None
    (file,) = ledger.files(world.lake, snapshot, DAY)
    assert (snapshot.number, shown(world)) == (2, "live-2")
    assert (file.start, file.end) == (first, last.end)
    notes = read_notes(world.lake, file.path, file.size)
    assert len(notes["sources"]) == MOST_FILES
    assert notes["same_rows_as"] == "live-1"
    assert world.in_hive(first, END) == world.truth(first, last.end)

    after = world.collect(moment + timedelta(minutes=2))
    assert after.start == last.end
    assert after.files[0].folder == snapshot.path
    assert world.in_hive(first, END) == world.truth(first, after.end)
    assert world.compare(first, after.end).equal


@pytest.mark.daemons
def test_a_day_that_is_over_is_closed_into_one_sorted_file(world: World) -> None:
    whole_day(world)
    before = read_files(world.lake, CANDLE, DAY)
    assert len(before) > 1
    done = close(world)
    assert [(p.day, p.file_name) for p in done.made] == [(DAY, "candle.parquet")]
    assert (done.holes, done.waiting) == ([], {})
    assert (shown(world), shown(world, NEXT)) == ("day-1", "live-1")
    assert_right(world, utc(15, 2))
    (after,) = read_files(world.lake, CANDLE, DAY)
    assert after.table.equals(after.table.sort_by([("market", "ascending"), ("candle_date_time_utc", "ascending")]))
    assert after.coverage is not None
    assert {span.market for span in after.coverage.known()} == set(world.markets)
    assert set(after.coverage.watermark.values()) == {END}
    assert world.compare(START, utc(15, 2)).equal
    assert close(world) == Closed(), "a rerun has nothing to do"


def test_a_day_is_not_closed_before_the_next_one_has_begun(world: World) -> None:
    world.collect()
    world.fill_history(EVENING + timedelta(hours=1))
    world.collect(utc(15, 0, 5))
    assert close(world).made == []
    with pytest.raises(errors.ConfigError, match="not over yet"):
        close(world, only=DAY)
    with pytest.raises(errors.ConfigError, match="nothing of this KST day"):
        close(world, only="200101")
    world.collect(utc(15, 2, 5))
    assert [p.day for p in close(world, only=DAY).made] == [DAY]


def failing(world: World, market: str) -> Any:
    return lambda path, query: (500, "oops", headers_at(world.clock.now())) if query.get("market") == market else None


def test_a_hole_keeps_the_day_open_for_some_hours_and_then_it_is_closed_with_its_name(world: World) -> None:
    bad = world.busiest(utc(14, 50), utc(15, 2))
    world.collect()
    world.fill_history(EVENING + timedelta(hours=1))
    world.wire.spoil = failing(world, bad)
    world.collect(utc(15, 0, 5))
    world.collect(utc(15, 2, 5))
    waiting = close(world)
    assert waiting.made == []
    assert bad in waiting.waiting[f"candle {DAY}"]
    assert "server_trouble" in waiting.waiting[f"candle {DAY}"]

    world.collect(utc(21, 2, 5))
    done = close(world)
    assert [(p.day, h.market, h.start, h.end) for p in done.made for h in done.holes] == [(DAY, bad, utc(14, 50), END)]
    assert done.holes[0].reason is HoleReason.SERVER_TROUBLE
    assert shown(world) == "day-1"

    world.wire.spoil = FINE
    world.collect(utc(21, 4, 5))
    (request,) = BackfillQueue(world.lake).open()
    world.work_off(request)
    assert shown(world) == "day-2", "a late candle makes a new snapshot of the closed day"
    assert_right(world, utc(21, 4))


def test_a_day_can_be_closed_with_its_holes_without_waiting(world: World) -> None:
    world.collect()
    world.collect(utc(15, 2, 5))
    assert "not_asked" in close(world).waiting[f"candle {DAY}"], "the day's beginning is still to come"
    done = close(world, only=DAY, with_holes=True)
    assert {(hole.start, hole.end) for hole in done.holes} == {(START, utc(11, 30))}
    world.fill_history(utc(16))
    assert shown(world) == "day-1", "history of one day only is today's"


def test_a_market_that_left_does_not_hold_its_last_day_open(world: World) -> None:
    world.collect()
    world.fill_history(EVENING + timedelta(hours=1))
    gone = world.busiest(START, END)
    world.wire.spoil = unlisted(world.wire.app, gone)
    world.collect(utc(14, 58, 5))
    world.collect(utc(15, 2, 5))
    done = close(world)
    assert [p.day for p in done.made] == [DAY]
    assert (done.holes, done.waiting) == ([], {})
    snapshot = ledger.current(world.lake, "candle", DAY)
    assert snapshot is not None
    (file,) = ledger.files(world.lake, snapshot, DAY)
    known = read_coverage(world.lake, file.path, file.size)
    assert known.watermark[gone] == utc(14, 50), "its coverage ends where it left"


class Killed(BaseException):
    """Stands for a kill -9: nothing catches it."""


class MortalLake(Lake):
    """The real lake, until the process that uses it dies before (or right after) one of its calls."""

    def __init__(self, inner: Lake, dies: str) -> None:
        super().__init__(inner.client, inner.root)
        self.dies = dies

    def publish(self, path: str, data: bytes, last_check: Callable[[], None] = lambda: None) -> bool:
        if "/_day-1." in path:
            if self.dies == "before the file is written":
                raise Killed
            if self.dies == "with half a file":
                self.create(path.replace(".parquet", ".half"), data[: len(data) // 2])
                raise Killed
        return super().publish(path, data, last_check)

    def rename(self, source: str, target: str) -> None:
        if target.endswith("/day-1") and self.dies == "before the rename":
            raise Killed
        super().rename(source, target)
        if target.endswith("/day-1") and self.dies == "after the rename":
            raise Killed


class MortalHive(Hive):
    """The world's Hive, until its user dies between the two switches."""

    def __init__(self, inner: Hive) -> None:
        self._inner = inner

    @contextmanager
    def session(self) -> Iterator[Statements]:
        def dies(_: str, statement: str) -> None:
            if statement.startswith("ALTER TABLE") and "PARTITION" in statement and "SET LOCATION" in statement:
                raise Killed

        with self._inner.session() as inner:
            yield HookedSession(inner, dies)


DEATHS = [
    "before the file is written",
    "with half a file",
    "before the rename",
    "after the rename",
    pytest.param("between the two switches", marks=pytest.mark.daemons),
]


@pytest.mark.parametrize("dies", DEATHS)
def test_a_close_that_is_killed_is_finished_by_the_next(world: World, dies: str) -> None:
    whole_day(world)
    hive = MortalHive(world.hive) if dies == "between the two switches" else world.hive
    with pytest.raises(Killed):
        close(world, MortalLake(world.lake, dies), hive)
    world.lake.delete(f"{layout.day_folder(world.lake.root, 'candle', DAY)}/_lease")  # its process is gone
    assert world.in_hive(START, utc(15, 2)) == world.truth(START, utc(15, 2)), "readers see the day whole meanwhile"

    done = close(world)
    assert [p.day for p in done.made] + [name.split()[1] for name in done.repaired_tables] == [DAY]
    assert shown(world) == "day-1"
    assert is_registered(
        world.hive, world.settings, "candle", DAY, layout.complete_folder(world.lake.root, "candle", DAY, 1)
    )
    assert_right(world, utc(15, 2))
    assert close(world) == Closed()


def test_a_compaction_that_was_not_registered_is_registered_by_the_next_live_run(world: World) -> None:
    first = world.collect()
    world.collect(utc(14, 52, 5))
    with lease(world.lake, layout.day_folder(world.lake.root, "candle", DAY), world.clock) as held:
        rolled = publish.rebuild_snapshot(world.lake, DAY, "test", held, complete=False)
    assert shown(world) == "live-1", "whoever made it died before registering it"
    assert world.in_hive(first.start, END) == world.truth(first.start, utc(14, 52))
    world.collect(utc(14, 54, 5))
    assert rolled.folder.endswith(shown(world))
    assert world.in_hive(first.start, END) == world.truth(first.start, utc(14, 54))
    assert [entry for entry in pending.listing(world.lake) if entry.task == "register"] == []


class LyingLake(Lake):
    """The real lake, which stores other rows than it was given."""

    def __init__(self, inner: Lake, lie: Callable[[pa.Table], pa.Table]) -> None:
        super().__init__(inner.client, inner.root)
        self.lie = lie

    def publish(self, path: str, data: bytes, last_check: Callable[[], None] = lambda: None) -> bool:
        if "/_day-1." in path:
            data = encode(self.lie(decode(data, path)), coverage_of(data, path))
        return super().publish(path, data, last_check)


def altered(table: pa.Table) -> pa.Table:
    prices = table.column("trade_price").to_pylist()
    return table.set_column(6, "trade_price", [[prices[0] * (1 + 1e-12), *prices[1:]]])


LIES: dict[str, Callable[[pa.Table], pa.Table]] = {
    "a lost row": lambda table: table.slice(1),
    "a doubled row": lambda table: pa.concat_tables([table, table.slice(0, 1)]),
    "one row in place of another": lambda table: pa.concat_tables([table.slice(1), table.slice(5, 1)]),
    "a changed price": altered,
}


def test_a_snapshot_that_lost_a_row_of_its_sources_is_never_registered(world: World) -> None:
    whole_day(world)
    for name, lie in LIES.items():
        troubles = close(world, LyingLake(world.lake, lie)).troubles
        assert "rows were read back" in troubles[f"candle {DAY}"], name
        assert shown(world) != "day-1", name
    assert close(world).made
    assert_right(world, utc(15, 2))


def test_a_day_that_somebody_writes_is_left_to_the_next_run(world: World) -> None:
    whole_day(world)
    with lease(world.lake, layout.day_folder(world.lake.root, "candle", DAY), world.clock):
        busy = close(world)
    assert busy.made == []
    assert "held by another writer" in busy.waiting[f"candle {DAY}"]
    assert [p.day for p in close(world).made] == [DAY]


def test_a_late_write_by_a_process_that_did_not_see_the_close_leaves_the_day_closed(world: World) -> None:
    whole_day(world)
    close(world)
    late = world.truth(utc(13), utc(13, 1))
    span = Coverage(utc(13), utc(13, 1), "history", tuple(Span(c.market, utc(13), utc(13, 1), "asked") for c in late))
    with lease(world.lake, layout.day_folder(world.lake.root, "candle", DAY), world.clock) as held:
        publish.publish_snapshot(world.lake, DAY, to_table(late), span, held, complete=False)
    world.on_published(DAY)
    assert shown(world) == "day-2"
    assert_right(world, END)
