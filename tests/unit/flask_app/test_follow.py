"""The window follows Hive: new minutes, repairs within the overlap, new snapshots, late markets."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from flask_app.window import LENGTH, Window
from tests.unit.flask_app.world import MARKETS, NOON, World, candle, minutes
from upbit_elt.candle import MINUTE, Candle, day_end, day_start, kst_day, to_table, wire
from upbit_elt.lake import layout, publish
from upbit_elt.lake.coverage import Coverage
from upbit_elt.lake.lease import lease
from upbit_elt.lake.parquet import encode
from upbit_elt.warehouse import register

TODAY = kst_day(NOON)


def follow(world: World) -> Window:
    window = world.app.extensions["upbit_elt"].follower.refresh()
    assert isinstance(window, Window)
    return window


def held(world: World) -> set[tuple[str, str]]:
    """Market and minute of every candle in the window; each is there once."""
    table = follow(world).candles
    keys = list(zip(table.column("market").to_pylist(), table.column("candle_date_time_utc").to_pylist(), strict=True))
    assert len(keys) == len(set(keys))
    return set(keys)


def price(world: World, market: str, start: datetime) -> float:
    ((*_, close, _, _, _, _),) = follow(world).rows(market, start, start + MINUTE, 1)
    return float(close)


def test_the_window_is_26_hours_and_moves_on(world: World) -> None:
    assert min(start for _, start in held(world)) == wire(NOON - LENGTH)
    world.publish(NOON, NOON + timedelta(minutes=30))
    keys = held(world)
    assert min(start for _, start in keys) == wire(NOON + timedelta(minutes=30) - LENGTH)
    assert {("KRW-BTC", wire(t)) for t in minutes(NOON - MINUTE, NOON + timedelta(minutes=30))} <= keys


def test_new_minutes_come_from_hive_alone(world: World) -> None:
    held(world)
    world.hive.scanned.clear()
    world.publish(NOON, NOON + 2 * MINUTE)
    assert ("KRW-ETH", wire(NOON + MINUTE)) in held(world)
    assert world.hive.scanned == ["2026-11-24"]


def test_hive_gets_no_query_while_the_lake_has_nothing_new(world: World) -> None:
    held(world)
    world.hive.up = False
    assert held(world)


def test_a_minute_that_a_later_run_repairs_is_replaced(world: World) -> None:
    """As the collector does it: a candle changed by a re-read arrives in a new snapshot of the day."""
    held(world)
    repaired = replace(candle("KRW-BTC", NOON - 5 * MINUTE), trade_price=1.0)
    start = day_start(TODAY)
    rows = [candle("KRW-BTC", t) for t in minutes(start, NOON) if wire(t) != repaired.candle_date_time_utc]
    world.publish_file(TODAY, start, NOON + MINUTE, [*rows, repaired], snapshot=2)
    assert price(world, "KRW-BTC", NOON - 5 * MINUTE) == 1.0


def test_a_repaired_yesterday_is_loaded_again(world: World) -> None:
    held(world)
    day = kst_day(NOON - timedelta(days=1))
    rows = [candle("KRW-BTC", t, price=7.0) for t in minutes(day_start(day), day_end(day))]
    world.publish_file(day, day_start(day), day_end(day), rows, snapshot=2)
    world.publish(NOON, NOON + MINUTE)
    assert price(world, "KRW-BTC", NOON - timedelta(hours=20)) == 7.0


def roll_up(world: World, day: str, *, complete: bool = False, repaired: Candle | None = None) -> None:
    """As the pipeline does it: all files of the day become one in a new snapshot, and Hive is switched."""
    lake = world.lake
    with lease(lake, layout.day_folder(lake.root, "candle", day), world.clock) as held:
        if repaired:
            known = Coverage(repaired.start, repaired.start, "repair")
            publish.publish_snapshot(lake, day, to_table([repaired]), known, held, complete=complete)
        else:
            publish.rebuild_snapshot(lake, day, "roll", held, complete=complete)
    register.register_day(lake, world.hive, world.settings, "candle", day)


def test_days_that_are_compacted_or_closed_are_not_loaded_again(world: World) -> None:
    before = held(world)
    for _ in range(2):
        roll_up(world, TODAY)
    roll_up(world, kst_day(NOON - timedelta(days=1)), complete=True)
    world.hive.scanned.clear()
    assert held(world) == before
    world.publish_file(TODAY, NOON, NOON + MINUTE, [candle("KRW-ETH", NOON)], snapshot=3)
    after = held(world)
    assert after - before == {("KRW-ETH", wire(NOON))}
    assert world.hive.scanned == ["2026-11-24"] * 2, "only the newest minutes were queried"


def test_a_repair_between_two_compactions_is_seen(world: World) -> None:
    held(world)
    roll_up(world, TODAY)
    repaired = replace(candle("KRW-BTC", NOON - timedelta(hours=3)), trade_price=1.0)
    roll_up(world, TODAY, repaired=repaired)
    roll_up(world, TODAY)
    assert price(world, "KRW-BTC", repaired.start) == 1.0


def test_a_day_that_is_backfilled_behind_the_live_runs_appears() -> None:
    world = World()
    world.publish(day_start(TODAY), NOON)
    yesterday = NOON - timedelta(hours=20)
    assert ("KRW-BTC", wire(yesterday)) not in held(world)
    world.publish(day_start(TODAY) - timedelta(days=1), day_start(TODAY))
    world.publish(NOON, NOON + MINUTE)
    assert ("KRW-BTC", wire(yesterday)) in held(world)


def test_a_market_that_failed_for_an_hour_is_caught_up(world: World) -> None:
    fetched = NOON + timedelta(hours=1)
    late = _publish(world, NOON, fetched, [candle("KRW-BTC", t) for t in minutes(NOON, fetched)], late=NOON)
    assert ("KRW-ETH", wire(NOON)) not in held(world)
    caught_up = [candle("KRW-ETH", t) for t in minutes(NOON, late + MINUTE)]
    _publish(world, late, late + MINUTE, [*caught_up, candle("KRW-BTC", late)], late=late + MINUTE)
    assert {("KRW-ETH", wire(t)) for t in minutes(NOON, late + MINUTE)} <= held(world)


def test_a_market_that_is_listed_today_is_loaded_with_what_hive_has_of_it(world: World) -> None:
    held(world)
    rows = [candle("KRW-NEW", t) for t in minutes(NOON - timedelta(hours=1), NOON + MINUTE)]
    world.publish_file(TODAY, NOON, NOON + MINUTE, rows, markets=(*MARKETS, "KRW-NEW"))
    assert len({key for key in held(world) if key[0] == "KRW-NEW"}) == 61


def test_readers_look_at_most_every_five_seconds(world: World) -> None:
    world.client.get("/api/v1/status")
    world.publish(NOON, NOON + MINUTE)
    world.later(2)
    assert world.client.get("/api/v1/status").get_json()["covered_until"] == "2026-11-24T03:00:00Z"
    world.later(4)
    assert world.client.get("/api/v1/status").get_json()["covered_until"] == "2026-11-24T03:01:00Z"


def _publish(world: World, start: datetime, end: datetime, rows: list[Candle], *, late: datetime) -> datetime:
    """A window's file in which KRW-ETH is accounted for until `late` only. Returns its end."""
    watermark = dict.fromkeys(MARKETS, end) | {"KRW-ETH": late}
    folder = layout.live_folder(world.lake.root, "candle", TODAY, 1)
    data = encode(to_table(rows), Coverage(start, end, "test", (), watermark))
    world.lake.publish(f"{folder}/{layout.window_name(start, end)}", data)
    return end


def test_a_file_that_cannot_be_read_takes_only_its_own_minutes_from_the_page(world: World) -> None:
    folder = layout.live_folder(world.lake.root, "candle", TODAY, 1)
    start, end = NOON - 3 * LENGTH / 26, NOON - 2 * LENGTH / 26
    for path in [path for path in world.lake.files if path.startswith(folder)]:
        del world.lake.files[path]
    world.publish(day_start(TODAY), start)
    world.publish(end, NOON)
    world.lake.files[f"{folder}/{layout.window_name(start, end)}"] = b"damaged"
    keys = held(world)
    assert {("KRW-BTC", wire(t)) for t in [*minutes(day_start(TODAY), start), *minutes(end, NOON)]} <= keys
    assert not {("KRW-BTC", wire(t)) for t in minutes(start, end)} & keys
    assert world.client.get("/extract/upbit.hyper").status_code >= 500, "an extract never lacks rows in silence"
