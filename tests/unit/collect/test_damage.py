"""A file of the lake that cannot be read costs its own minutes, never the next run; they are named, and come again."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.clock import utc
from tests.support.world import MemoryWorld, refusing
from upbit_elt.errors import LakeTooNew
from upbit_elt.holes import HoleReason
from upbit_elt.lake import ledger
from upbit_elt.lake.coverage import FOOTER_KEY
from upbit_elt.lake.parquet import decode, parquet_writer
from upbit_elt.quality.coverage_report import accounts_of

START = utc(3, 0, 5)
FIRST = utc(3) - timedelta(minutes=200)
Harm = Callable[[MemoryWorld, str], None]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[MemoryWorld]:
    made = MemoryWorld(tmp_path, START, markets=3, history_days=0)
    yield made
    made.client.close()


def lose(world: MemoryWorld, path: str) -> None:
    world.hdfs.lose(path)


def empty(world: MemoryWorld, path: str) -> None:
    world.hdfs.put(path, b"")


def flip_a_row(world: MemoryWorld, path: str) -> None:
    data = bytearray(world.hdfs.files()[path])
    data[len(data) // 6] ^= 0x10
    world.hdfs.put(path, bytes(data))


def flip_the_footer(world: MemoryWorld, path: str) -> None:
    data = world.hdfs.files()[path]
    stamp = data.rindex(b'"watermark":[["2026112403') + len(b'"watermark":[["20261124')
    world.hdfs.put(path, data[:stamp] + b"1" + data[stamp + 1 :])


def another_file(world: MemoryWorld, path: str) -> None:
    files = [data for name, data in world.hdfs.files().items() if name.endswith(".parquet") and name != path]
    world.hdfs.put(path, files[0])


HARMS: list[Harm] = [lose, empty, flip_a_row, flip_the_footer, another_file]
harmed = pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)


def files(world: MemoryWorld, day: str = "261124") -> list[str]:
    snapshot = ledger.current(world.lake, "candle", day)
    assert snapshot is not None
    return [file.path for file in ledger.files(world.lake, snapshot, day)]


@harmed
def test_the_newest_file_costs_its_own_minutes_and_they_come_again(world: MemoryWorld, harm: Harm) -> None:
    for minute in (0, 2, 4):
        world.collect(utc(3, minute, 5))
    damaged = files(world)[-1]
    harm(world, damaged)
    world.collect(utc(3, 6, 5))
    world.fill_history()
    assert all(len(world.lake.read(path)) for path in files(world)), "what Hive reads can be read"
    if damaged in files(world):  # its footer is whole: it is found out when the files are made one
        for minute in range(8, 40, 2):
            world.collect(utc(3, minute, 5))
        world.fill_history()
    end = world.newest.end
    assert damaged not in files(world)
    assert world.stored(FIRST, end) == world.truth(FIRST, end)
    assert world.holes("261124") == set()


@pytest.mark.parametrize("harm", [lose, flip_a_row], ids=lambda harm: harm.__name__)
def test_a_damaged_file_in_the_middle_is_noticed_by_compaction(world: MemoryWorld, harm: Harm) -> None:
    for minute in range(0, 10, 2):
        world.collect(utc(3, minute, 5))
    damaged = files(world)[2]
    harm(world, damaged)
    for minute in range(10, 40, 2):
        world.collect(utc(3, minute, 5))
    assert damaged not in files(world)
    lost = {span.reason for span in world.holes("261124")}
    assert lost <= {HoleReason.FILE_LOST}
    assert any(name.startswith("/replica/rejected/261124/unreadable-") for name in world.hdfs.files()), (
        "nothing is deleted"
    )
    world.fill_history()
    assert world.stored(FIRST, utc(3, 38)) == world.truth(FIRST, utc(3, 38))
    assert world.holes("261124") == set()


def test_a_damaged_compacted_file_is_replaced_by_the_files_it_was_made_of(world: MemoryWorld) -> None:
    for minute in range(0, 32, 2):
        world.collect(utc(3, minute, 5))
    damaged = files(world)[0]
    assert "/live-2/" in damaged
    lose(world, damaged)
    for path in files(world)[1:]:
        lose(world, path)
    sent = len(world.wire.candle_requests())
    world.collect(utc(3, 32, 5))
    assert len(world.wire.candle_requests()) - sent <= 2 * len(world.markets), "nothing of it is requested again"
    assert world.stored(FIRST, utc(3, 32)) == world.truth(FIRST, utc(3, 32))


def test_while_the_exchange_is_away_too_the_minutes_are_named_as_lost(world: MemoryWorld) -> None:
    for minute in (0, 2):
        world.collect(utc(3, minute, 5))
    lose(world, files(world)[-1])
    report = accounts_of(world.lake, world.newest, FIRST, utc(3, 2))
    assert report.unexplained() == 0, "not known to be collected yet"
    world.wire.spoil = refusing(world)
    world.collect(utc(3, 4, 5))
    reasons = {span.reason for span in world.holes("261124")}
    assert HoleReason.FILE_LOST in reasons


def test_a_footer_of_a_newer_release_is_an_error_and_not_damage(world: MemoryWorld) -> None:
    for minute in (0, 2):
        world.collect(utc(3, minute, 5))
    path = files(world)[-1]
    document = json.loads(world.newest.to_json()) | {"version": 99}

    sink, table = io.BytesIO(), decode(world.lake.read(path), path)
    with parquet_writer(sink, table.schema, {FOOTER_KEY: json.dumps(document).encode()}) as writer:
        writer.write_table(table)
    world.hdfs.put(path, sink.getvalue())
    before = world.hdfs.files()
    with pytest.raises(LakeTooNew, match="start the newer one"):
        world.collect(utc(3, 4, 5))
    assert world.hdfs.files() == before
