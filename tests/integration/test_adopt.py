"""Parquet of the old pipeline, taken over into a real HDFS and Hive."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.clock import utc
from tests.support.edges import Edge
from tests.support.exchange import minute_row
from tests.support.world import World, without
from upbit_elt.candle import FIELDS, MINUTE, from_table
from upbit_elt.errors import BadFile, ConfigError
from upbit_elt.lake import ledger
from upbit_elt.lake.read import read_day, read_sources

SEEDS = Path(__file__).resolve().parents[3] / "shared" / "data" / "seed_snapshots"
NOW = utc(3, 30, 5)
SAVED = utc(2, 10, 30, day=20)  # the name of the file below, UTC


@pytest.fixture
def world(edge: Edge, tmp_path: Path) -> Iterator[World]:
    made = World(edge, tmp_path, NOW, markets=5, history_days=0)
    yield made
    made.close()


def save(folder: Path, name: str, *rows: dict[str, Any]) -> Path:
    """A file as the old pipeline's pandas wrote it: `unit` is int64."""
    path = folder / name
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def row(market: str, start: datetime, price: float = 100.0, **changes: Any) -> dict[str, Any]:
    return minute_row(market, start, price, **changes)


def fresh(market: str = "KRW-NEW") -> dict[str, Any]:
    """The running minute of an active market: its trade is a moment after the run's begin."""
    return row(market, SAVED.replace(second=0), timestamp=int(SAVED.timestamp() * 1000) + 800)


@pytest.mark.daemons
def test_only_what_is_provably_closed_is_kept(world: World, tmp_path: Path) -> None:
    closed, just_closed = row("KRW-A", utc(2, 8, day=20)), row("KRW-B", utc(2, 9, day=20))
    save(tmp_path, "20261120021030_candel_data.parquet", fresh(), closed, just_closed)
    save(tmp_path, "20261120021001_candel_data.parquet", fresh(), closed, just_closed)
    found = world.adopt(tmp_path)
    assert (found.files, found.rows, found.imported) == (2, 6, 2)
    assert sum(found.duplicates.values()) == 1
    assert sum(found.open.values()) == 3, "02:09 is open in the run that began 1 s after it, closed in the later"
    kept = from_table(read_day(world.lake, "261120"))
    assert [(c.market, c.start) for c in kept] == [("KRW-A", utc(2, 8, day=20)), ("KRW-B", utc(2, 9, day=20))]
    assert world.in_hive(utc(0, day=20), utc(0, day=21)) == kept
    (coverage,) = read_sources(world.lake, "261120")[1]
    assert [(s.market, s.end - s.start, s.state) for s in coverage.spans] == [
        ("KRW-A", MINUTE, "asked"),
        ("KRW-B", MINUTE, "asked"),
    ]
    assert coverage.spans[1].detail == "adopt:20261120021030_candel_data.parquet"

    snapshot = ledger.current(world.lake, "candle", "261120")
    again = world.adopt(tmp_path)
    assert (again.imported, again.published) == (0, [])
    assert ledger.current(world.lake, "candle", "261120") == snapshot


def test_the_rest_is_brought_in_by_the_backfill_and_live_runs_are_not_led_astray(world: World, tmp_path: Path) -> None:
    old = world.truth(utc(2, day=20), utc(2, 5, day=20))
    rows = [{name: getattr(c, name) for name in FIELDS} for c in old]
    save(tmp_path, "20261120021030_candel_data.parquet", fresh(world.markets[0]), *rows)
    assert world.adopt(tmp_path).imported == len(old)
    live = world.collect()
    assert live.start == utc(3, 30) - timedelta(minutes=200), "a live run begins as in an empty lake"
    start, end = utc(15, day=19), utc(15, day=20)
    done = world.work_off(world.request(start, end))
    assert done is not None
    assert world.in_hive(start, end) == world.truth(start, end)
    assert world.compare(start, end).equal


def test_old_files_fill_the_holes_of_a_market_that_is_gone(world: World, tmp_path: Path) -> None:
    market, start = world.busiest(utc(2, day=20), utc(2, 5, day=20)), utc(15, day=19)
    request = world.request(start, utc(15, day=20))
    world.wire.spoil = without(world, market)
    world.work_off(request)
    assert market not in {c.market for c in world.in_hive(start, utc(15, day=20))}
    old = [c for c in world.truth(utc(2, day=20), utc(2, 5, day=20)) if c.market == market]
    rows = [{name: getattr(c, name) for name in FIELDS} for c in old]
    save(tmp_path, "20261120021030_candel_data.parquet", fresh(), *rows)
    assert world.adopt(tmp_path).imported == len(old) > 0
    assert from_table(read_day(world.lake, "261120")) == world.in_hive(start, utc(15, day=20))
    assert set(old) <= set(world.in_hive(start, utc(15, day=20)))


def test_bad_rows_are_counted_by_reason_and_conflicts_kept_out(world: World, tmp_path: Path) -> None:
    at = utc(2, 1, day=20)
    save(
        tmp_path,
        "20261120021030_candel_data.parquet",
        fresh(),
        row("KRW-A", at, high_price=1.0),
        row(
            "KRW-B", at, unit=3, candle_date_time_utc="2026-11-20T02:00:00", candle_date_time_kst="2026-11-20T11:00:00"
        ),
        row("KRW-C", at, trade_price=float("nan")),
        row("KRW-D", at, 100.0),
        row("KRW-E", at, 100.0),
    )
    save(tmp_path, "20261120020730_candel_data.parquet", fresh(), row("KRW-D", at, 101.0))
    found = world.adopt(tmp_path)
    assert found.imported == 1
    assert sum(found.invalid.values()) == 5
    assert any("high_price" in reason for reason in found.invalid)
    assert any("unit 3" in reason for reason in found.invalid)
    assert [c.market for c in from_table(read_day(world.lake, "261120"))] == ["KRW-E"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"PAR1 but cut", "not a Parquet file"), (b"", "not a Parquet file"), (None, "no column candle_date_time_kst")],
)
def test_a_bad_file_is_named_and_nothing_is_adopted(
    world: World, tmp_path: Path, content: bytes | None, words: str
) -> None:
    save(tmp_path, "20261120021030_candel_data.parquet", fresh(), row("KRW-A", utc(2, 8, day=20)))
    bad = tmp_path / "zzz.parquet"
    if content is None:
        pq.write_table(pa.table({"market": ["KRW-A"], "candle_date_time_utc": ["2026-11-20T02:08:00"]}), bad)
    else:
        bad.write_bytes(content)
    with pytest.raises(BadFile, match=rf"zzz\.parquet: {words}"):
        world.adopt(tmp_path)
    assert ledger.days(world.lake, "candle") == []


def test_an_empty_folder_is_said_so(world: World, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no \*\.parquet"):
        world.adopt(tmp_path)


@pytest.mark.skipif(not SEEDS.is_dir(), reason=f"the old pipeline's files are not at {SEEDS}")
def test_the_old_pipelines_own_files(world: World) -> None:
    found = world.adopt(SEEDS)
    seen: dict[tuple[str, str], set[tuple[Any, ...]]] = {}
    for path in SEEDS.glob("*.parquet"):
        for old in pq.read_table(path).to_pylist():
            seen.setdefault((old["market"], old["candle_date_time_utc"]), set()).add(tuple(old.values()))
    changed = {key for key, values in seen.items() if len(values) > 1}
    assert len(changed) == 5
    assert (found.files, found.invalid.total()) == (7, 0)
    assert found.imported + found.duplicates.total() + found.open.total() == found.rows
    kept = [c for day in ledger.days(world.lake, "candle") for c in from_table(read_day(world.lake, day))]
    assert len(kept) == found.imported > 500
    for candle in kept:
        values = tuple(getattr(candle, name) for name in FIELDS)
        versions = seen[candle.market, candle.candle_date_time_utc]
        assert values in versions
        assert values == max(versions, key=lambda v: float(v[9])), "never the running minute's earlier state"
    assert world.adopt(SEEDS).imported == 0
