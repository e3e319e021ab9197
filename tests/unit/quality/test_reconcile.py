"""Reconciliation by hours, in memory: what cannot be reconciled stays open with its reason and stops nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import utc
from tests.support.exchange import Reply, headers_at
from tests.support.world import FINE, MemoryWorld, Spoil, changing
from upbit_elt.candle import from_table, to_table, wire
from upbit_elt.lake import ledger
from upbit_elt.lake.parquet import coverage_of, decode, encode
from upbit_elt.quality import rechecks, results
from upbit_elt.quality.reconcile import wanted

NOW = utc(15, 40, 5)  # 00:40 KST of the 25th
DAY, BEFORE = "261124", "261123"
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> MemoryWorld:
    """Two closed days, and the third has begun."""
    made = MemoryWorld(tmp_path_factory.mktemp("state"), NOW, markets=3, history_days=2, first_minutes=10)
    made.collect()
    assert made.fill_history().left == ()
    made.client.close()
    return made


@pytest.fixture
def world(built: MemoryWorld, tmp_path: Path) -> Iterator[MemoryWorld]:
    made = MemoryWorld(tmp_path, built.clock.now(), like=built)
    yield made
    made.client.close()


def rows_changed(world: MemoryWorld, market: str, unit: int, hour: datetime, **changes: Any) -> Spoil:
    """The exchange's candle of `unit` minutes that starts at `hour` has other values."""
    return changing(
        world.wire.app,
        lambda rows: [row | (changes if row["candle_date_time_utc"] == wire(hour) else {}) for row in rows],
        f"/v1/candles/minutes/{unit}",
        market,
    )


def snapshots(world: MemoryWorld, day: str) -> int:
    return len(ledger.snapshots(world.lake, "reconciliation", day))


def traded_hour(world: MemoryWorld, market: str, day: str) -> datetime:
    return next(c.start for c in world.in_lake(day) if c.market == market).replace(minute=0) + 5 * HOUR


def test_one_hour_that_cannot_be_fetched_leaves_only_that_hour_open(world: MemoryWorld) -> None:
    market = world.collected[0]
    hour = traded_hour(world, market, DAY)
    world.wire.spoil = rows_changed(world, market, 60, hour, trade_price="a lot")
    one, two = world.prove([DAY, BEFORE])
    assert (two.day, two.verdict, two.unreconciled) == (BEFORE, "proven", 0), "the request's other days are reconciled"
    assert (one.verdict, list(one.left)) == ("partial", [market])
    assert "1 of 24 hours: quarantined_row" in one.left[market]
    assert "trade_price" in str(one)
    row = next(row for row in one.rows if row.market == market)
    assert (row.hours, row.state, row.discrepancies, row.reconciled_hours(DAY)) == (
        23, "partial", 0, frozenset(results.hours_of(DAY)) - {hour},
    )  # fmt: skip
    assert row.proven_hours(DAY) == [h for h in results.hours_of(DAY) if h != hour]

    world.wire.spoil = FINE
    (repaired_day,) = world.prove([DAY])
    assert (repaired_day.verdict, {row.hours for row in repaired_day.rows}) == ("proven", {24})


def test_an_open_hour_is_tried_again_ever_more_rarely_and_writes_a_result_only_when_it_changes(
    world: MemoryWorld,
) -> None:
    market = world.collected[0]
    world.wire.spoil = rows_changed(world, market, 60, traded_hour(world, market, DAY), trade_price="a lot")
    tried = []
    begin = world.clock.now()
    for run in range(150):
        world.clock.set(begin + run * timedelta(minutes=10))
        if days := wanted(world.lake, world.clock.now()):
            tried.append(run)
            world.prove(days, retry=True)
    assert tried == [0, 1, 3, 7, 15, 30, 59, 96, 133]
    assert snapshots(world, DAY) == 1
    assert rechecks.read(world.lake)[DAY].why.startswith("1 of 24 hours: quarantined_row")
    world.wire.spoil = FINE
    assert world.prove(wanted(world.lake, world.clock.now(), retry=True))[0].verdict == "proven"
    assert (snapshots(world, DAY), rechecks.read(world.lake)) == (2, {})


def test_a_repaired_day_is_due_at_once(world: MemoryWorld) -> None:
    market = world.collected[0]
    world.wire.spoil = rows_changed(world, market, 60, traded_hour(world, market, DAY), trade_price="a lot")
    world.prove([DAY])
    world.prove([BEFORE])
    assert wanted(world.lake, world.clock.now()) == []
    world.close_day(DAY)
    assert wanted(world.lake, world.clock.now()) == [DAY], "its candles may be others now"


def test_a_discrepancy_that_stays_writes_no_new_result(world: MemoryWorld) -> None:
    market = world.collected[0]
    hour = traded_hour(world, market, DAY)
    world.wire.spoil = rows_changed(world, market, 60, hour, candle_acc_trade_volume=1e9)
    assert world.prove([DAY, BEFORE])[0].verdict == "findings"
    assert wanted(world.lake, world.clock.now() + timedelta(hours=5)) == []
    for _ in range(3):
        world.clock.set(world.clock.now() + rechecks.LONGEST)
        assert wanted(world.lake, world.clock.now()) == [DAY]
        assert world.prove([DAY], retry=True)[0].verdict == "findings"
    assert snapshots(world, DAY) == 1


@pytest.mark.parametrize("broken", ["minute", "request"])
def test_a_differing_hour_whose_minutes_do_not_come_stays_open_and_the_others_are_repaired(
    world: MemoryWorld, broken: str
) -> None:
    market = world.collected[0]
    mine = [c for c in world.in_lake(DAY) if c.market == market]
    first, last = mine[3], mine[-3]
    path = world.file(DAY)
    world.hdfs.put(path, without_rows(world, path, {first, last}))
    hour = first.start.replace(minute=0)
    inner = rows_changed(world, market, 1, first.start, trade_price="a lot")

    def spoil(path: str, query: dict[str, str]) -> Reply | None:
        if broken == "minute" or path != "/v1/candles/minutes/1" or query["market"] != market:
            return inner(path, query)
        early = datetime.fromisoformat(query["to"]) <= hour + HOUR
        return (500, "oops", headers_at(world.clock.now())) if early else None

    world.wire.spoil = spoil
    (reconciled,) = world.prove([DAY])
    assert (reconciled.verdict, reconciled.repaired, list(reconciled.left)) == ("partial", True, [market])
    assert "not repaired" in reconciled.left[market]
    row = next(row for row in reconciled.rows if row.market == market)
    assert (row.hours, row.differences, row.repaired, row.discrepancies) == (23, 1, 1, 0)
    assert last in world.in_lake(DAY)

    world.wire.spoil = FINE
    (reconciled,) = world.prove([DAY])
    assert (reconciled.verdict, reconciled.repaired) == ("proven", True)
    row = next(row for row in reconciled.rows if row.market == market)
    assert (row.hours, row.differences, row.repaired, row.discrepancies) == (24, 2, 2, 0)
    assert [c for c in world.in_lake(DAY) if c.market == market] == mine


def test_an_outage_leaves_markets_unreconciled_with_the_true_reason(world: MemoryWorld) -> None:
    world.wire.spoil = lambda path, query: (503, "maintenance", headers_at(world.clock.now()))
    (reconciled,) = world.prove([DAY])
    assert (reconciled.verdict, reconciled.unreconciled, reconciled.day_result) == (
        "partial",
        len(world.collected),
        None,
    )
    assert "server_trouble" in str(reconciled)
    assert snapshots(world, DAY) == 0
    assert DAY not in wanted(world.lake, world.clock.now()), "it is tried again later"
    assert DAY in wanted(world.lake, world.clock.now() + timedelta(minutes=10))


def test_a_ban_leaves_markets_unreconciled_with_the_true_reason(world: MemoryWorld) -> None:
    until = world.clock.now() + timedelta(hours=1)
    world.limits.ban(until)
    before = len(world.wire.requests)
    (reconciled,) = world.prove([DAY])
    assert (reconciled.verdict, reconciled.unreconciled) == ("partial", len(world.collected))
    assert "banned" in str(reconciled)
    assert len(world.wire.requests) == before, "nothing is sent"


def test_an_exchange_that_goes_away_gets_no_request_for_every_market(tmp_path: Path) -> None:
    world = MemoryWorld(tmp_path, NOW, markets=30, history_days=0, first_minutes=10)
    world.collect()
    world.work_off(world.request(utc(14), utc(15)))
    world.close_day(DAY)
    world.wire.spoil = lambda path, query: (503, "maintenance", headers_at(world.clock.now()))
    before = len(world.wire.requests)
    (reconciled,) = world.prove([DAY])
    assert reconciled.unreconciled == len(world.collected)
    assert len(world.wire.requests) - before < 40, "30 markets with 4 tries each would be 120"
    unasked = [
        why for why in reconciled.left.values() if why.startswith("not requested, as the exchange does not answer")
    ]
    assert len(unasked) > len(world.collected) / 2
    assert all("server_trouble" in why for why in reconciled.left.values())


def test_a_day_that_cannot_be_read_is_left_and_the_others_are_reconciled(world: MemoryWorld) -> None:
    world.hdfs.put(world.file(DAY), b"not Parquet")
    other, bad = world.prove([DAY, BEFORE])
    assert (other.day, other.verdict) == (BEFORE, "proven")
    assert (bad.day, bad.day_result) == (DAY, None)
    assert str(bad).startswith(f"{DAY} cannot be reconciled: LakeCorrupt: {world.file(DAY)}")
    assert wanted(world.lake, world.clock.now()) == [], "it is not read again by every run"
    assert wanted(world.lake, world.clock.now() + timedelta(minutes=18)) == [DAY]


def test_a_result_that_cannot_be_read_is_made_again_by_hand(
    world: MemoryWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.prove([DAY, BEFORE])
    found = results.latest(world.lake, DAY)
    assert found is not None
    world.hdfs.put(found.path, b"\x00" * 100)
    assert results.read(world.lake, found) == {}
    assert wanted(world.lake, world.clock.now()) == [], "the name says that it is proven, so no run does it by itself"
    assert f"`prove --day {DAY}` reconciles its day again" in caplog.text
    (reconciled,) = world.prove([DAY])
    assert (reconciled.verdict, len(reconciled.rows)) == ("proven", len(world.collected))
    newest = results.latest(world.lake, DAY)
    assert newest is not None
    assert len(results.read(world.lake, newest)) == len(world.collected)


def test_a_plan_that_cannot_be_read_makes_everything_due(world: MemoryWorld) -> None:
    world.hdfs.put(world.file(DAY), b"not Parquet")
    world.prove([DAY, BEFORE])
    world.hdfs.put(f"{world.lake.root}/reconciliation/_rechecks.json", b'{"261124": 5}')
    assert wanted(world.lake, world.clock.now()) == [DAY]


def without_rows(world: MemoryWorld, path: str, gone: set[Any]) -> bytes:
    """The file's bytes without some candles, its coverage the same."""
    data = world.lake.read(path)
    return encode(to_table(c for c in from_table(decode(data, path)) if c not in gone), coverage_of(data, path))
