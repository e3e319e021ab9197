"""What a run cannot be sure of is quarantined, a named hole, and requested again, while the other markets go on."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import utc
from tests.support.edges import Edge
from tests.support.exchange import Reply
from tests.support.world import FINE, Spoil, World, changing, with_ticker
from upbit_elt.candle import MINUTE, wire
from upbit_elt.lake.layout import quarantine_folder

START = utc(3, 0, 5)
FIRST = utc(3) - timedelta(minutes=200)
Row = dict[str, Any]


@pytest.fixture
def world(edge: Edge, tmp_path: Path) -> Iterator[World]:
    made = World(edge, tmp_path, START)
    yield made
    made.close()


def with_row(app: Any, market: str, minute: datetime, change: Callable[[Row], Any]) -> Spoil:
    """Spoils one candle in every answer that has it."""
    return changing(
        app,
        lambda rows: [change(row) if row["candle_date_time_utc"] == wire(minute) else row for row in rows],
        market=market,
    )


def rejected(world: World, day: str) -> list[Row]:
    folder = quarantine_folder(world.lake.root, day)
    return [
        json.loads(line)
        for entry in world.lake.list(folder)
        for line in world.lake.read(f"{folder}/{entry.name}").decode().splitlines()
    ]


def holes(world: World, day: str) -> set[tuple[str, datetime, datetime]]:
    """Holes of a day that no file accounts for."""
    return {(span.market, span.start, span.end) for span in world.holes(day)}


def wrong_high(row: Row) -> Row:
    return row | {"high_price": row["low_price"] / 2}


def traded_minute(world: World, market: str, start: datetime, end: datetime) -> datetime:
    return [candle.start for candle in world.truth(start, end) if candle.market == market][-1]


@pytest.mark.daemons
def test_a_bad_row_is_quarantined_leaves_a_hole_of_its_minute_and_is_fetched_again(world: World) -> None:
    market = world.busiest(FIRST, utc(3))
    bad = traded_minute(world, market, utc(2), utc(2, 50))
    world.wire.spoil = with_row(world.wire.app, market, bad, wrong_high)
    collected = world.collect()
    assert collected.quarantined == 1
    assert [text.split(":")[0] for text in collected.holes] == [market]
    assert "high_price is below" in collected.holes[0]
    (line,) = rejected(world, "261124")
    assert (line["market"], line["start"], line["end"]) == (market, wire(bad), wire(bad + MINUTE))
    assert line["row"]["high_price"] == line["row"]["low_price"] / 2, "as received"
    assert "high_price is below" in line["reason"]
    assert line["run"] == "test"
    assert holes(world, "261124") == {(market, bad, bad + MINUTE)}
    everything = world.truth(FIRST, utc(3))
    assert world.in_hive(FIRST, utc(3)) == [c for c in everything if (c.market, c.start) != (market, bad)]
    assert world.newest.watermark[market] == utc(3), "the market goes on"

    world.wire.spoil = FINE
    assert world.collect(utc(3, 2, 5)).repaired == 1
    assert world.in_hive(FIRST, utc(4)) == world.truth(FIRST, utc(3, 2))
    assert holes(world, "261124") == set()
    assert [recheck for recheck in world.newest.rechecks or () if recheck.state == "hole"] == []


def test_a_row_that_stays_bad_costs_ever_fewer_requests_and_stays_a_named_hole(world: World) -> None:
    market = world.busiest(FIRST, utc(3))
    bad = traded_minute(world, market, utc(2), utc(2, 50))
    world.wire.spoil = with_row(world.wire.app, market, bad, wrong_high)
    world.collect()
    before = len(world.wire.requests)
    lone = f"to={wire(bad + MINUTE).replace(':', '%3A')}Z"
    for minute in range(2, 60, 2):
        world.collect(utc(3, minute, 5), run_id=f"run-{minute}")
    again = [url for url in map(str, (r.url for r in world.wire.requests[before:])) if market in url and lone in url]
    assert len(again) == 5, "after 2, 4, 8, 16 and 32 minutes"
    assert all("count=1&" in url for url in again), "its own minute, not 200"
    assert len(rejected(world, "261124")) == 1 + 5, "each time it was bad is on record"
    assert holes(world, "261124") == {(market, bad, bad + MINUTE)}
    assert world.newest.watermark[market] == utc(3, 58)
    lost = [c for c in world.truth(FIRST, utc(3, 58)) if (c.market, c.start) == (market, bad)]
    assert set(world.truth(FIRST, utc(3, 58))) - set(world.in_hive(FIRST, utc(3, 58))) == set(lost)


def test_a_response_with_mostly_bad_rows_is_not_used_at_all(world: World) -> None:
    world.collect()
    market = world.busiest(utc(3), utc(3, 2))
    app = world.wire.app
    world.wire.spoil = changing(
        app,
        lambda rows: [{("open" if k == "opening_price" else k): v for k, v in row.items()} for row in rows],
        market=market,
    )
    assert "opening_price: Field required" in world.collect(utc(3, 2, 5)).holes[0]
    assert world.newest.watermark[market] == utc(3)
    assert 1 <= len(rejected(world, "261124")) <= 5
    world.wire.spoil = FINE
    world.collect(utc(3, 4, 5))
    assert world.in_hive(FIRST, utc(4)) == world.truth(FIRST, utc(3, 4))


def test_a_minute_that_appears_late_is_not_taken_for_an_empty_one(world: World) -> None:
    world.collect()
    market = world.busiest(utc(3), utc(3, 2))
    app = world.wire.app
    lagging = changing(
        app, lambda rows: [row for row in rows if row["candle_date_time_utc"] < wire(utc(3))], market=market
    )
    last = traded_minute(world, market, utc(3), utc(3, 2))
    stopped = with_ticker(app, market, trade_timestamp=int((last + timedelta(seconds=30)).timestamp() * 1000))
    world.wire.spoil = lambda path, query: lagging(path, query) or stopped(path, query)
    assert "late_row" in world.collect(utc(3, 2, 5)).holes[0]
    world.wire.spoil = stopped
    world.collect(utc(3, 4, 5))
    kept = [candle for candle in world.in_hive(utc(3), utc(3, 2)) if candle.market == market]
    assert last in [candle.start for candle in kept], "filled though the ticker calls the market inactive by now"


def test_a_candle_that_a_stale_ticker_hid_is_found_though_the_market_has_not_traded_since(world: World) -> None:
    """The trade lies before the watermark when the ticker first shows it."""
    world.collect()
    market = world.busiest(utc(3), utc(3, 2))
    last = traded_minute(world, market, utc(3), utc(3, 2))
    world.wire.spoil = with_ticker(world.wire.app, market, trade_timestamp=int(utc(2).timestamp() * 1000))
    assert world.collect(utc(3, 2, 5)).inactive >= 1
    traded_since = int((last + timedelta(seconds=30)).timestamp() * 1000)
    world.wire.spoil = with_ticker(world.wire.app, market, trade_timestamp=traded_since)
    world.collect(utc(3, 4, 5))
    assert world.in_hive(FIRST, utc(3, 2)) == world.truth(FIRST, utc(3, 2))


def test_inactive_markets_cost_no_request(world: World) -> None:
    world.collect()
    before = len(world.wire.requests)
    collected = world.collect(utc(3, 2, 5))
    traded = {candle.market for candle in world.truth(utc(3), utc(3, 2))}
    urls = {
        str(r.url).split("market=")[1].split("&")[0] for r in world.wire.requests[before:] if "market=" in str(r.url)
    }
    assert collected.inactive > 0
    assert traded <= urls
    assert len(world.wire.requests) - before == 2 + collected.requested


def test_a_market_listed_in_mid_day_starts_at_its_first_candle(world: World) -> None:
    market = world.busiest(FIRST, utc(3))
    world.faults.listed = {market: utc(3, 3)}
    world.collect()
    assert market not in world.newest.watermark
    world.collect(utc(3, 2, 5))
    world.collect(utc(3, 4, 5))
    stored = [candle for candle in world.in_hive(FIRST, utc(4)) if candle.market == market]
    real = [candle for candle in world.truth(utc(3, 3), utc(3, 4)) if candle.market == market]
    assert stored == real != []
    for minute in (6, 8):
        world.collect(utc(3, minute, 5))
    stored = [candle for candle in world.in_hive(FIRST, utc(4)) if candle.market == market]
    assert stored == [candle for candle in world.truth(utc(3, 3), utc(3, 8)) if candle.market == market]


def test_a_market_that_is_delisted_ends_without_noise(world: World, caplog: pytest.LogCaptureFixture) -> None:
    market = world.busiest(FIRST, utc(3))
    world.collect()
    world.faults.delisted = {market: utc(3, 1)}
    caplog.set_level(logging.WARNING, "upbit_elt")
    for minute in (2, 4):
        collected = world.collect(utc(3, minute, 5))
        assert collected.holes == ()
        assert collected.markets == len(world.markets) - 1
    assert [record for record in caplog.records if record.name.startswith("upbit_elt")] == []
    assert world.newest.watermark[market] == utc(3)
    others = [candle for candle in world.truth(FIRST, utc(3, 4)) if candle.market != market or candle.start < utc(3)]
    assert world.in_hive(FIRST, utc(4)) == others


def test_a_failing_market_is_tried_again_within_the_run(world: World) -> None:
    world.collect()
    market = world.busiest(utc(3), utc(3, 2))
    failures = iter([(503, "busy"), (200, "<html>"), (429, "Too many API requests.")])

    def trouble(path: str, query: dict[str, str]) -> Reply | None:
        status, body = next(failures, (0, "")) if query.get("market") == market else (0, "")
        return (status, body, {"Date": "Tue, 24 Nov 2026 03:02:05 GMT"}) if status else None

    world.wire.spoil = trouble
    assert world.collect(utc(3, 2, 5)).holes == ()
    assert world.in_hive(FIRST, utc(4)) == world.truth(FIRST, utc(3, 2))


def test_a_late_row_that_is_bad_when_it_is_fetched_again_is_not_forgotten(world: World) -> None:
    """The market trades on, so that the ticker hides the lateness; only the minutes before the window show the row."""
    world.collect()
    market = world.busiest(utc(3), utc(3, 2))
    late = traded_minute(world, market, utc(3), utc(3, 2))
    app = world.wire.app
    traded_since = with_ticker(app, market, trade_timestamp=int(utc(3, 2, 3).timestamp() * 1000))
    hidden = changing(
        app, lambda rows: [row for row in rows if row["candle_date_time_utc"] != wire(late)], market=market
    )
    wrong = with_row(app, market, late, wrong_high)
    world.wire.spoil = lambda path, query: hidden(path, query) or traded_since(path, query)
    world.collect(utc(3, 2, 5))
    world.wire.spoil = wrong
    world.collect(utc(3, 4, 5))
    world.wire.spoil = FINE
    for minute in (12, 14):
        world.collect(utc(3, minute, 5))
    assert world.in_hive(FIRST, utc(4)) == world.truth(FIRST, utc(3, 14))
