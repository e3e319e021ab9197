"""GET /api/v1/candles: Upbit's form, from inclusive, to exclusive, newest first, old days from Hive."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.flask_app.world import NOON, World, candle
from upbit_elt.candle import FIELDS, MINUTE, day_start, kst_day, wire
from upbit_elt.lake.layout import live_folder


def fetch(world: World, **query: object) -> list[dict[str, Any]]:
    answer = world.client.get("/api/v1/candles", query_string=query)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.get_json()
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
    asked = {"market": "KRW-BTC", "from": wire(border - 30 * MINUTE), "to": wire(border + 30 * MINUTE)}
    assert starts(fetch(world, **asked)) == [wire(border + n * MINUTE) for n in range(29, -31, -1)]


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


def test_hive_reads_only_the_days_that_are_asked_for(world: World) -> None:
    day = kst_day(NOON - timedelta(days=1))
    broken = f"{live_folder(world.lake.root, 'candle', kst_day(NOON), 1)}/broken.parquet"
    start = day_start(day) - timedelta(hours=3)
    fetch(world, market="KRW-BTC", count=1)
    world.lake.files[broken] = b"Hive would fail on this"
    rows = fetch(world, **{"market": "KRW-BTC", "from": wire(start), "to": wire(start + timedelta(hours=1))})
    assert len(rows) == 60
    assert set(world.hive.scanned) == {"2026-11-22"}


def test_a_quiet_span_is_an_empty_list(world: World) -> None:
    moment = wire(NOON - timedelta(days=1000))
    assert fetch(world, market="KRW-BTC", to=moment) == []
