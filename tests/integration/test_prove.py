"""Reconciliation with the exchange's own hours on a real HDFS and Hive: what is planted is found and repaired."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import utc
from tests.support.edges import Edge
from tests.support.exchange import Reply, headers_at
from tests.support.world import FINE, Spoil, World, changing, without
from upbit_elt.candle import Candle, from_table, to_table
from upbit_elt.holes import HoleReason
from upbit_elt.lake import ledger
from upbit_elt.lake.parquet import coverage_of, decode, encode
from upbit_elt.quality.coverage_report import Accounts, accounts_of
from upbit_elt.quality.explain import explain
from upbit_elt.quality.rechecks import FIRST, LONGEST
from upbit_elt.quality.reconcile import wanted
from upbit_elt.warehouse.tables import locations

# 00:10 KST of the 25th: the 24th is over.
NOW = utc(15, 40, 5)
DAY = "261124"
START, END = utc(15, day=23), utc(15)


@pytest.fixture
def world(edge: Edge, tmp_path: Path) -> Iterator[World]:
    """The 24th is complete, by history; the 25th has begun."""
    made = World(edge, tmp_path, NOW, markets=5, history_days=1, first_minutes=10)
    made.collect()
    made.fill_history(NOW + timedelta(hours=2))
    yield made
    made.close()


def account(world: World, start: datetime = START, end: datetime = END) -> Accounts:
    known = world.newest
    return accounts_of(world.lake, known, start, end)


def explained(world: World, market: str, minute: datetime) -> str:
    return explain(world.lake, market, minute, world.clock.now()).state


def replant(world: World, change: Callable[[list[Candle]], list[Candle]]) -> None:
    """Replace the closed day's file by one with other candles and the same coverage."""
    snapshot = ledger.current(world.lake, "candle", DAY)
    assert snapshot is not None
    path = f"{snapshot.path}/candle.parquet"
    data = world.lake.read(path)
    world.lake.delete(path)
    world.lake.publish(path, encode(to_table(change(from_table(decode(data, path)))), coverage_of(data, path)))


def wrong_hour(world: World, market: str, field: str, factor: float) -> Spoil:
    """The exchange's newest hour of the day has another value than its minutes say."""
    return changing(
        world.wire.app,
        lambda rows: [rows[0] | {field: rows[0][field] * factor}, *rows[1:]],
        "/v1/candles/minutes/60",
        market,
    )


@pytest.mark.daemons
def test_a_day_without_difference_is_proven_by_one_request_a_market(world: World) -> None:
    before = len(world.wire.candle_requests())
    (reconciled,) = world.prove([DAY])
    assert (reconciled.verdict, reconciled.repaired, reconciled.unreconciled) == ("proven", False, 0)
    assert {row.market for row in reconciled.rows} == set(world.markets)
    assert {(row.hours, row.differences, row.discrepancies) for row in reconciled.rows} == {(24, 0, 0)}
    assert sum(row.candles for row in reconciled.rows) == len(world.truth(START, END)) > 0
    assert len(world.wire.candle_requests()) - before == len(world.markets)

    shown = world.hive.query(
        f"SELECT market, state, candles, hours_compared, dt FROM {world.settings.bi_database}.reconciliation"
    )
    assert sorted(shown) == [(row.market, "proven", row.candles, 24, "2026-11-24") for row in reconciled.rows]
    assert wanted(world.lake, world.clock.now()) == []
    assert world.prove([DAY])[0].rows == reconciled.rows
    assert len(world.wire.candle_requests()) - before == len(world.markets), "what is proven costs no request"


def test_proof_makes_empty_minutes_proven(world: World) -> None:
    before = account(world)
    assert before.unexplained() == 0
    assert sum(one.empty for one in before.accounts) > 0
    world.prove([DAY])
    after = account(world)
    assert [one.candles for one in after.accounts] == [one.candles for one in before.accounts]
    assert [one.proven for one in after.accounts] == [one.empty for one in before.accounts]
    assert {one.empty + one.inactive for one in after.accounts} == {0}


def test_an_empty_span_that_hides_trades_is_found_repaired_and_proven(world: World) -> None:
    active = world.busiest(utc(13), utc(13, 15))
    hidden = [c for c in world.truth(utc(13), utc(13, 15)) if c.market == active]
    assert hidden
    replant(world, lambda candles: [c for c in candles if c not in hidden])
    assert explained(world, active, hidden[0].start) == "empty (asked)"
    assert account(world).unexplained() == 0, "the lake alone cannot know"

    (reconciled,) = world.prove([DAY])
    assert (reconciled.verdict, reconciled.repaired) == ("proven", True)
    row = next(row for row in reconciled.rows if row.market == active)
    assert (row.differences, row.repaired, row.discrepancies) == (1, 1, 0)
    assert world.in_hive(START, END) == world.truth(START, END)
    assert explained(world, active, hidden[0].start) == "candle"


@pytest.mark.daemons
def test_an_altered_and_an_invented_and_a_doubled_candle_are_repaired(world: World) -> None:
    market = world.busiest(START, END)

    def plant(candles: list[Candle]) -> list[Candle]:
        mine = [c for c in candles if c.market == market]
        thin = min(world.markets, key=lambda name: sum(c.market == name for c in candles))
        there = {c.candle_date_time_utc for c in candles if c.market == thin}
        free = next(c for c in mine if c.candle_date_time_utc not in there)
        altered = replace_price(mine[100], mine[100].high_price * 2)
        return [altered if c is mine[100] else c for c in candles] + [replace_market(free, thin), mine[400]]

    replant(world, plant)
    (reconciled,) = world.prove([DAY])
    assert (reconciled.verdict, reconciled.repaired) == ("proven", True)
    assert sum(row.repaired for row in reconciled.rows) == 3
    assert world.in_hive(START, END) == world.truth(START, END)
    assert locations(world.hive, world.settings, "candle", [DAY])[DAY].endswith("/day-2")
    assert {row.snapshot for row in reconciled.rows} == {"day-2"}, "what was proven of the others still holds"


def test_a_removed_file_is_found_repaired_and_proven_again(world: World) -> None:
    world.prove([DAY])
    snapshot = ledger.current(world.lake, "candle", DAY)
    assert snapshot is not None
    world.lake.delete(f"{snapshot.path}/candle.parquet")
    lost = account(world)
    assert lost.unexplained() == 5 * 1440
    assert {hole.reason for one in lost.accounts for hole in one.holes} == {HoleReason.FILE_LOST}
    assert wanted(world.lake, world.clock.now()) == [DAY], "the next run of the DAG repairs it"
    (reconciled,) = world.prove(wanted(world.lake, world.clock.now()))
    assert (reconciled.verdict, reconciled.repaired) == ("proven", True)
    assert world.in_hive(START, END) == world.truth(START, END)
    assert account(world).unexplained() == 0


def test_a_difference_that_cannot_be_repaired_is_a_discrepancy_with_its_numbers(world: World) -> None:
    market = world.busiest(START, END)
    world.wire.spoil = wrong_hour(world, market, "candle_acc_trade_volume", 1.5)
    (reconciled,) = world.prove([DAY])
    assert (reconciled.verdict, reconciled.repaired) == ("findings", False)
    (row,) = reconciled.discrepancies
    assert (row.market, row.state, row.differences, row.repaired, row.discrepancies) == (market, "finding", 1, 0, 1)
    (discrepancy,) = json.loads(row.detail)
    ours = sum(c.candle_acc_trade_volume for c in world.truth(utc(14), END) if c.market == market)
    assert discrepancy["hour"] == "2026-11-24T14:00:00"
    assert discrepancy["field"] == "candle_acc_trade_volume"
    assert discrepancy["ours"] == pytest.approx(ours)
    assert discrepancy["exchange"] == pytest.approx(1.5 * ours)
    assert wanted(world.lake, world.clock.now()) == [], "not every run reconciles it again"
    assert wanted(world.lake, world.clock.now() + LONGEST) == [DAY]
    (shown,) = world.hive.query(
        f"SELECT detail FROM {world.settings.database}.reconciliation WHERE state = 'finding' AND dt = '2026-11-24'"
    )
    assert json.loads(shown[0]) == [discrepancy]
    assert account(world, utc(14), END).accounts[world.markets.index(market)].proven == 0
    assert account(world, utc(13), utc(14)).accounts[world.markets.index(market)].empty == 0

    world.wire.spoil = FINE
    before = len(world.wire.candle_requests())
    assert world.prove([DAY], retry=True)[0].verdict == "proven"
    assert len(world.wire.candle_requests()) - before == 1


def test_an_exchange_that_says_it_has_nothing_takes_no_candle_away(world: World) -> None:
    market = world.busiest(START, END)

    def spoil(path: str, query: dict[str, str]) -> Reply | None:
        nothing = path.startswith("/v1/candles/") and query["market"] == market
        return (200, "[]", headers_at(world.clock.now())) if nothing else None

    world.wire.spoil = spoil
    (reconciled,) = world.prove([DAY])
    assert (reconciled.verdict, reconciled.repaired) == ("findings", False)
    assert [row.market for row in reconciled.discrepancies] == [market]
    assert world.in_hive(START, END) == world.truth(START, END)

    world.wire.spoil = FINE
    world.clock.set(world.clock.now() + LONGEST)
    assert world.prove(wanted(world.lake, world.clock.now()), retry=True)[0].verdict == "proven"
    assert locations(world.hive, world.settings, "candle", [DAY])[DAY].endswith("/day-1")


def test_a_repair_that_lost_a_row_adds_what_it_has_and_takes_nothing_away(world: World) -> None:
    market = world.busiest(START, END)
    ours = [c for c in world.truth(utc(13), utc(14)) if c.market == market]
    missing, lost = ours[3], ours[7]
    replant(world, lambda candles: [c for c in candles if c != missing])
    world.wire.spoil = changing(
        world.wire.app,
        lambda rows: [r for r in rows if r["candle_date_time_utc"] != lost.candle_date_time_utc],
        "/v1/candles/minutes/1",
        market,
    )
    (reconciled,) = world.prove([DAY])
    assert (reconciled.verdict, reconciled.repaired) == ("proven", True)
    assert world.in_hive(START, END) == world.truth(START, END)


def test_a_404_of_a_gateway_does_not_count_as_a_delisted_market(world: World) -> None:
    body = '{"error":{"name":"not_found","message":"no Route matched with those values"}}'
    world.wire.spoil = lambda path, query: (404, body, headers_at(world.clock.now()))
    (reconciled,) = world.prove([DAY])
    assert (reconciled.verdict, reconciled.unreconciled) == ("partial", 5)


def test_a_market_out_of_reach_leaves_its_day_partial_and_one_that_is_gone_does_not(world: World) -> None:
    away, gone = world.markets[0], world.markets[1]
    delisted = without(world, gone)

    def spoil(path: str, query: dict[str, str]) -> Reply | None:
        out = query.get("market") == away
        return (500, "oops", headers_at(world.clock.now())) if out else delisted(path, query)

    world.wire.spoil = spoil
    (reconciled,) = world.prove([DAY])
    assert (reconciled.verdict, reconciled.unreconciled) == ("partial", 1)
    assert wanted(world.lake, world.clock.now()) == [], "not by every run"
    assert wanted(world.lake, world.clock.now() + FIRST) == [DAY]
    world.wire.spoil = FINE
    before = len(world.wire.candle_requests())
    (reconciled,) = world.prove([DAY])
    assert len(world.wire.candle_requests()) - before == 1
    assert reconciled.verdict == "proven"
    assert [row.market for row in reconciled.rows if row.state == "gone"] == [gone]


def test_a_run_that_is_cut_short_goes_on_where_it_was(world: World) -> None:
    before = len(world.wire.candle_requests())
    (reconciled,) = world.prove([DAY], seconds=10.3, chunk=2)
    assert (reconciled.verdict, reconciled.unreconciled) == ("partial", 1)
    (reconciled,) = world.prove([DAY])
    assert reconciled.verdict == "proven"
    assert len(world.wire.candle_requests()) - before == len(world.markets)


def test_the_exchange_has_half_an_hour_for_what_is_late_of_a_days_last_minutes(world: World) -> None:
    assert wanted(world.lake, utc(15, 29, 59)) == []
    assert wanted(world.lake, utc(15, 30)) == [DAY]


def test_live_runs_go_first(world: World) -> None:
    holder = {"token": "x", "until": "2026-11-24T15:41:30+00:00", "host": "elsewhere", "pid": "1", "started": "0"}
    world.lake.create(f"{world.lake.root}/candle/_lease", json.dumps(holder).encode())
    before = len(world.wire.candle_requests())
    assert world.prove([DAY], seconds=15) == []
    assert len(world.wire.candle_requests()) == before
    assert world.prove([DAY])[0].verdict == "proven", "a lease that has ended holds nobody"


def test_a_new_snapshot_of_the_same_candles_is_proven_without_a_request(world: World) -> None:
    world.prove([DAY])
    world.close_day(DAY)
    assert wanted(world.lake, world.clock.now()) == [DAY]
    before = len(world.wire.candle_requests())
    (reconciled,) = world.prove([DAY])
    assert (reconciled.verdict, len(world.wire.candle_requests())) == ("proven", before)
    assert {row.snapshot for row in reconciled.rows} == {"day-2"}


def test_several_days_share_their_requests(edge: Edge, tmp_path: Path) -> None:
    world = World(edge, tmp_path, NOW, markets=3, history_days=3, first_minutes=10)
    try:
        world.collect()
        world.fill_history(NOW + timedelta(hours=2))
        before = len(world.wire.candle_requests())
        reconciled = world.prove(wanted(world.lake, world.clock.now()))
        assert [(one.day, one.verdict) for one in reconciled] == [
            ("261124", "proven"),
            ("261123", "proven"),
            ("261122", "proven"),
        ]
        assert len(world.wire.candle_requests()) - before == len(world.markets)
    finally:
        world.close()


def test_a_candle_lost_after_the_proof_is_not_called_proven(world: World) -> None:
    world.prove([DAY])
    market = world.busiest(START, END)
    lost = next(c for c in world.truth(START, END) if c.market == market)
    replant(world, lambda candles: [c for c in candles if c != lost])
    assert explained(world, market, lost.start) == "empty (asked)"
    assert world.prove([DAY])[0].repaired
    assert explained(world, market, lost.start) == "candle"
    assert world.in_hive(START, END) == world.truth(START, END)


def replace_price(candle: Candle, price: float) -> Candle:
    return Candle(**{**_fields(candle), "high_price": price})


def replace_market(candle: Candle, market: str) -> Candle:
    return Candle(**{**_fields(candle), "market": market})


def _fields(candle: Candle) -> dict[str, Any]:
    return {name: getattr(candle, name) for name in Candle.__slots__}
