"""Our minutes, summed by the hour, against the exchange's hours: what counts as equal, and what does not."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.support.clock import utc
from tests.support.exchange import minute_row
from upbit_elt.candle import MINUTE, Candle, to_table, wire
from upbit_elt.collect.plan import FetchRequest
from upbit_elt.quality.day_reconciliation import DayReconciliation, batches
from upbit_elt.quality.hours import differences, exchange_hours, sum_up
from upbit_elt.replica import SyntheticSource
from upbit_elt.replica.tape import Tape
from upbit_elt.replica.truth import truth
from upbit_elt.replica.wire import minute_rows

HOUR = timedelta(hours=1)


def minutes(start: datetime, count: int, market: str = "KRW-A", **changes: Any) -> list[Candle]:
    return [Candle(**minute_row(market, start + i * MINUTE, 100.0 + i, **changes)) for i in range(count)]


def hour(market: str, start: datetime, rows: list[Candle]) -> Candle:
    """The hour of these minutes, summed exactly and rounded as the exchange prints it."""

    def total(name: str, digits: int) -> float:
        return float(round(sum((Decimal(repr(getattr(row, name))) for row in rows), Decimal(0)), digits))

    return replace(
        rows[-1],
        market=market,
        candle_date_time_utc=wire(start),
        opening_price=rows[0].opening_price,
        high_price=max(row.high_price for row in rows),
        low_price=min(row.low_price for row in rows),
        candle_acc_trade_price=total("candle_acc_trade_price", 5),
        candle_acc_trade_volume=total("candle_acc_trade_volume", 8),
        unit=60,
    )


def found(rows: list[Candle], exchange: list[Candle], market: str = "KRW-A") -> list[tuple[str, str]]:
    ours = sum_up(to_table(rows))
    hours = ours[market].hours if market in ours else {}
    return [(wire(d.hour)[11:16], d.field) for d in differences(market, hours, exchange_hours(exchange))]


def test_sums_of_many_small_amounts_are_equal_whatever_the_order_of_adding() -> None:
    rows = [replace(row, candle_acc_trade_price=1234567.1 + i / 7, candle_acc_trade_volume=0.1 * (i + 1) / 3)
            for i, row in enumerate(minutes(utc(1), 60))]  # fmt: skip
    assert found(rows, [hour("KRW-A", utc(1), rows)]) == []
    naive = replace(
        hour("KRW-A", utc(1), rows),
        candle_acc_trade_price=sum(row.candle_acc_trade_price for row in reversed(rows)),
        candle_acc_trade_volume=sum(row.candle_acc_trade_volume for row in reversed(rows)),
    )
    assert found(rows, [naive]) == []


@pytest.mark.parametrize("field", ["opening_price", "high_price", "low_price", "trade_price"])
def test_prices_must_be_equal_to_the_last_bit(field: str) -> None:
    rows = minutes(utc(1), 60)
    exact = hour("KRW-A", utc(1), rows)
    nearly = replace(exact, **{field: getattr(exact, field) * (1 + 1e-15)})
    assert found(rows, [nearly]) == [("01:00", field)]


def test_the_least_order_is_seen_in_the_largest_hour() -> None:
    price, least = 150_000_000.0, 5_000.0
    rows = [replace(row, candle_acc_trade_price=1.7e9, candle_acc_trade_volume=1.7e9 / price)
            for row in minutes(utc(1), 60)]  # fmt: skip
    exact = hour("KRW-A", utc(1), rows)
    more = replace(
        exact,
        candle_acc_trade_price=exact.candle_acc_trade_price + least,
        candle_acc_trade_volume=exact.candle_acc_trade_volume + least / price,
    )
    assert found(rows, [more]) == [("01:00", "candle_acc_trade_price"), ("01:00", "candle_acc_trade_volume")]


def test_an_hour_on_one_side_only_is_a_difference() -> None:
    rows = minutes(utc(1), 3) + minutes(utc(3), 2)
    exchange = [hour("KRW-A", utc(1), rows[:3]), hour("KRW-A", utc(2), rows[:3])]
    assert found(rows, exchange) == [("02:00", "candle"), ("03:00", "candle")]
    assert found([], exchange) == [("01:00", "candle"), ("02:00", "candle")]


def test_a_doubled_candle_counts_twice() -> None:
    rows = minutes(utc(1), 3)
    assert found([*rows, rows[1]], [hour("KRW-A", utc(1), rows)]) == [
        ("01:00", "candle_acc_trade_price"),
        ("01:00", "candle_acc_trade_volume"),
    ]


def test_the_digest_is_of_every_value_of_the_market_and_of_no_other() -> None:
    rows = minutes(utc(1), 3)
    others = minutes(utc(1), 3, "KRW-B")
    digest = sum_up(to_table(rows))["KRW-A"].digest
    assert sum_up(to_table([*others, *rows]))["KRW-A"].digest == digest
    for field in ("opening_price", "timestamp", "candle_acc_trade_volume"):
        changed = replace(rows[2], **{field: getattr(rows[2], field) + 1})
        assert sum_up(to_table([*rows[:2], changed]))["KRW-A"].digest != digest
    assert sum_up(to_table(rows[:2]))["KRW-A"].digest != digest


def test_the_replicas_own_hours_are_the_sums_of_its_minutes() -> None:
    source = SyntheticSource(seed=7, markets=6)
    tape, start, now = Tape(source), utc(15, day=22), utc(15).timestamp()
    for market in (market.code for market in source.markets()):
        rows = truth(source, market, start, start + 24 * HOUR)
        bars = tape.minutes(market, 60, int((start + 24 * HOUR).timestamp()), 200, now)
        theirs = [Candle(**row) for row in minute_rows(market, bars, 60)]
        exchange = exchange_hours(c for c in theirs if c.start >= start)
        ours = sum_up(to_table(rows))[market].hours
        assert differences(market, ours, exchange) == []
        assert len(ours) > 0


def test_days_within_two_hundred_hours_share_a_request() -> None:
    days = [f"2611{day:02}" for day in range(1, 11)]
    assert [len(batch) for batch in batches(days, 200 * HOUR)] == [8, 2]
    assert batches(["261101", "261120", "261119"], 200 * HOUR) == [["261120", "261119"], ["261101"]]


def test_neighbouring_hours_are_requested_as_one_span() -> None:
    rows = minutes(utc(1), 3)
    day = DayReconciliation("261124", "day-1", {}, {"KRW-A": frozenset()}, {})
    exchange = exchange_hours([hour("KRW-A", utc(start), rows) for start in (1, 2, 5)])
    day.differing["KRW-A"] = differences("KRW-A", {}, exchange)
    assert day.requests() == [FetchRequest("KRW-A", utc(1), utc(3)), FetchRequest("KRW-A", utc(5), utc(6))]
    assert json.dumps(day.differing["KRW-A"][0].to_json()) == (
        '{"hour": "2026-11-24T01:00:00", "field": "candle", "ours": null, "exchange": 6.0}'
    )
