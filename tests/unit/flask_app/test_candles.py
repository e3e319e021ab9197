"""GET /api/v1/candles: Upbit's form, from inclusive, to exclusive, newest first, old days from Hive."""

from __future__ import annotations

import re
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest

from flask_app.candles import MOST_DAYS
from flask_app.services import SEARCHES
from tests.unit.flask_app.test_problems import problem
from tests.unit.flask_app.world import NOON, World, candle
from upbit_elt.candle import FIELDS, MINUTE, day_start, kst_day, wire
from upbit_elt.lake.layout import live_folder


def fetch(world: World, **query: object) -> list[dict[str, Any]]:
    response = world.client.get("/api/v1/candles", query_string=query)
    assert response.status_code == 200, response.text
    rows: list[dict[str, Any]] = response.get_json()
    return rows


def starts(rows: list[dict[str, Any]]) -> list[str]:
    return [row["candle_date_time_utc"] for row in rows]


def test_the_eleven_wire_fields_in_wire_order_with_the_stored_values(world: World) -> None:
    (row,) = fetch(world, market="KRW-BTC", count=1)
    stored = candle("KRW-BTC", NOON - MINUTE)
    assert tuple(row) == FIELDS
    assert row == {name: getattr(stored, name) for name in FIELDS}
    assert row["candle_date_time_kst"] == "2026-11-24T11:59:00"


def test_the_newest_200_come_first_without_further_parameters(world: World) -> None:
    rows = fetch(world, market="krw-eth")
    assert starts(rows) == [wire(NOON - n * MINUTE) for n in range(1, 201)]


@pytest.mark.parametrize("age", [timedelta(hours=1), timedelta(hours=50)], ids=["in memory", "in Hive"])
def test_from_is_inclusive_and_to_exclusive(world: World, age: timedelta) -> None:
    end = NOON - age
    rows = fetch(world, **{"market": "KRW-BTC", "from": wire(end - 3 * MINUTE), "to": wire(end)})
    assert starts(rows) == [wire(end - n * MINUTE) for n in (1, 2, 3)]


@pytest.mark.parametrize("age", [timedelta(hours=1), timedelta(hours=50)], ids=["in memory", "in Hive"])
def test_count_cuts_the_oldest(world: World, age: timedelta) -> None:
    end = NOON - age
    rows = fetch(world, **{"market": "KRW-BTC", "from": wire(end - timedelta(hours=1)), "to": wire(end), "count": 2})
    assert starts(rows) == [wire(end - MINUTE), wire(end - 2 * MINUTE)]


def test_memory_and_hive_give_the_same_rows_over_their_border(world: World) -> None:
    border = NOON - timedelta(hours=26)
    span = {"market": "KRW-BTC", "from": wire(border - 30 * MINUTE), "to": wire(border + 30 * MINUTE)}
    assert starts(fetch(world, **span)) == [wire(border + n * MINUTE) for n in range(29, -31, -1)]


@pytest.mark.parametrize(
    "to", ["2026-11-24T03:00:00Z", "2026-11-24T12:00:00+09:00", "2026-11-24 03:00:00", "2026-11-24T03:00:00", ""]
)
def test_every_form_of_a_moment_is_understood(world: World, to: str) -> None:
    assert starts(fetch(world, market="KRW-BTC", to=to, count=1)) == [wire(NOON - MINUTE)]


def test_a_thin_market_is_followed_through_as_many_days_as_it_takes(world: World) -> None:
    rows = fetch(world, market="KRW-THIN", count=60)
    assert len(rows) == 60
    gaps = {rows[n]["timestamp"] - rows[n + 1]["timestamp"] for n in range(59)}
    assert gaps == {50 * 60_000}


@pytest.fixture
def old_world(world: World) -> World:
    """Eighty days more, in each of which the thin market has traded once, in its first minute."""
    for age in range(3, 83):
        day = kst_day(NOON - timedelta(days=age))
        start = day_start(day)
        world.publish_file(day, start, start + MINUTE, [candle("KRW-THIN", start)])
    return world


def test_a_search_ends_after_some_weeks_and_says_where_to_go_on(old_world: World) -> None:
    address, found, searched = "/api/v1/candles?market=KRW-THIN&count=1440", [], []
    while address:
        response = old_world.client.get(address)
        found += starts(response.get_json())
        searched.append(len(set(old_world.hive.scanned)))
        old_world.hive.scanned.clear()
        rest = re.fullmatch(r'<(.+)>; rel="next"', response.headers.get("Link", ""))
        address = rest[1] if rest else ""
    assert searched == [MOST_DAYS, 83 - MOST_DAYS]
    assert len(found) == len(set(found)) == 80 + 72, "80 old ones, and those of 60 hours, one in 50 minutes"
    assert found == sorted(found, reverse=True)


def test_a_span_too_long_for_one_request_is_refused_with_its_parts(old_world: World) -> None:
    span = {"market": "KRW-THIN", "from": "2017-10-01T00:00:00Z", "count": 1440}
    body = problem(old_world.client.get("/api/v1/candles", query_string=span))
    assert (body["status"], body["type"]) == (422, "/problems/too_much")
    parts = re.search(r"from=(\S+), then with to=(\S+) ", body["detail"])
    assert parts
    newer = fetch(old_world, **span | {"from": parts[1]})
    older = fetch(old_world, **span | {"to": parts[2]})
    assert len(starts(newer) + starts(older)) == 80 + 72


def test_a_long_span_that_is_soon_full_is_answered(old_world: World) -> None:
    assert len(fetch(old_world, **{"market": "KRW-THIN", "from": "2017-10-01", "count": 80})) == 80


def test_searches_of_old_days_are_few_at_a_time_and_leave_the_rest_alone(old_world: World) -> None:
    history = old_world.app.extensions["upbit_elt"].history
    with ExitStack() as held:
        for _ in range(SEARCHES):
            held.enter_context(history.taken())
        for address in ("candles?market=KRW-THIN&count=1440", "forecasts?market=KRW-BTC&origin=2026-11-01T00:00:00Z"):
            quarantined = old_world.client.get(f"/api/v1/{address}")
            assert (problem(quarantined)["status"], problem(quarantined)["type"]) == (503, "/problems/busy")
            assert quarantined.headers["Retry-After"].isdigit()
        assert len(fetch(old_world, market="KRW-BTC", count=60)) == 60, "from memory"
    assert len(fetch(old_world, market="KRW-THIN", count=60)) == 60


def test_hive_reads_only_the_requested_days(world: World) -> None:
    day = kst_day(NOON - timedelta(days=1))
    broken = f"{live_folder(world.lake.root, 'candle', kst_day(NOON), 1)}/broken.parquet"
    start = day_start(day) - timedelta(hours=3)
    fetch(world, market="KRW-BTC", count=1)
    world.lake.files[broken] = b"Hive would fail on this"
    rows = fetch(world, **{"market": "KRW-BTC", "from": wire(start), "to": wire(start + timedelta(hours=1))})
    assert len(rows) == 60
    assert set(world.hive.scanned) == {"2026-11-22"}


def test_a_span_without_a_trade_is_an_empty_list(world: World) -> None:
    moment = wire(NOON - timedelta(days=1000))
    assert fetch(world, market="KRW-BTC", to=moment) == []
