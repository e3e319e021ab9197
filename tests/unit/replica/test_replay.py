"""Recorded candles come back at the same weekday and time, for ever, with what was not recorded derived."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from upbit_elt.candle import to_table
from upbit_elt.errors import ConfigError, UnknownMarket
from upbit_elt.replica import ReplaySource, Source, SyntheticSource, create_replica, truth
from upbit_elt.replica.tape import Tape

RECORDED = Path(__file__).parents[4] / "shared/data/upbit_1m"
FIRST = datetime(2025, 9, 1, tzinfo=UTC)
THREE_WEEKS = timedelta(days=21)
NOW = datetime(2026, 11, 24, 23, 16, 40, tzinfo=UTC)


@pytest.fixture(scope="module")
def real() -> ReplaySource:
    if not RECORDED.is_dir():
        pytest.skip("no recorded candles beside the repository")
    return ReplaySource(RECORDED)


def recorded(market: str) -> dict[str, dict[str, object]]:
    rows = pq.read_table(RECORDED / f"{market}.parquet").to_pylist()
    return {row["candle_date_time_utc"].strftime("%Y-%m-%dT%H:%M:%S"): row for row in rows}


def test_the_first_round_is_the_recording_itself(real: ReplaySource) -> None:
    rows = recorded("KRW-DOGE")
    candles = truth(real, "KRW-DOGE", FIRST, FIRST + THREE_WEEKS)
    expected = {minute for minute in rows if minute < "2025-09-22T00:00:00"}
    assert {candle.candle_date_time_utc for candle in candles} == expected
    for candle in candles[::97]:
        row = rows[candle.candle_date_time_utc]
        for name in ("opening_price", "high_price", "low_price", "trade_price", "candle_acc_trade_volume"):
            assert getattr(candle, name) == row[name]


def test_today_is_a_recorded_day_of_the_same_weekday(real: ReplaySource) -> None:
    today = truth(real, "KRW-BTC", NOW - timedelta(hours=3), NOW + timedelta(hours=3))
    assert len(today) > 350
    rounds = (NOW - FIRST) // THREE_WEEKS
    before = truth(
        real, "KRW-BTC", *(t - rounds * THREE_WEEKS for t in (NOW - timedelta(hours=3), NOW + timedelta(hours=3)))
    )
    assert [c.trade_price for c in today] == [c.trade_price for c in before]
    assert [c.start - rounds * THREE_WEEKS for c in today] == [c.start for c in before]
    assert today[0].start.weekday() == before[0].start.weekday()


def test_values_that_were_not_recorded_are_derived(real: ReplaySource) -> None:
    for candle in truth(real, "KRW-XRP", NOW - timedelta(hours=5), NOW):
        assert candle.low_price * candle.candle_acc_trade_volume <= candle.candle_acc_trade_price
        assert candle.candle_acc_trade_price <= candle.high_price * candle.candle_acc_trade_volume
        assert (
            timedelta(0) <= datetime.fromtimestamp(candle.timestamp / 1000, UTC) - candle.start < timedelta(minutes=1)
        )
        assert candle.unit == 1


def test_answers_are_seamless_over_the_end_of_a_round(real: ReplaySource) -> None:
    seam = FIRST + 21 * THREE_WEEKS
    whole = real.minutes("KRW-XRP", seam - timedelta(hours=1), seam + timedelta(hours=1))
    parts = [
        real.minutes("KRW-XRP", seam + timedelta(minutes=m), seam + timedelta(minutes=m + 20))
        for m in range(-60, 60, 20)
    ]
    assert len(whole) == 120
    assert (np.diff(whole.start) == 60).all()
    assert np.array_equal(np.concatenate([part.close for part in parts]), whole.close)


def test_hours_are_the_sums_and_gaps_stay_gaps(real: ReplaySource) -> None:
    hours = Tape(real).minutes("KRW-DOGE", 60, int(NOW.timestamp()), 200, NOW.timestamp())
    minutes = truth(real, "KRW-DOGE", NOW - timedelta(hours=199, minutes=16, seconds=40), NOW)
    assert len(hours) == 200
    assert len(minutes) < 199 * 60 + 17
    assert hours.volume[:-1].sum() == pytest.approx(
        sum(c.candle_acc_trade_volume for c in minutes if c.start < NOW.replace(minute=0, second=0)), rel=1e-9
    )


def test_replays_are_served_with_their_names(real: ReplaySource) -> None:
    client = create_replica(real, lambda: NOW).test_client()
    names = {row["market"]: row["english_name"] for row in client.get("/v1/market/all").json or []}
    assert names == {"KRW-BTC": "Bitcoin", "KRW-DOGE": "Dogecoin", "KRW-XRP": "XRP"}
    ticker = (client.get("/v1/ticker?markets=KRW-XRP").json or [])[0]
    assert ticker["lowest_52_week_price"] <= ticker["low_price"] <= ticker["highest_52_week_price"]
    with pytest.raises(UnknownMarket, match="KRW-ETH"):
        real.minutes("KRW-ETH", NOW, NOW)


def write(folder: Path, source: Source, days: int, name: str = "candles.parquet") -> pa.Table:
    start = datetime(2026, 1, 5, tzinfo=UTC)
    table = to_table(truth(source, "KRW-BTC", start, start + timedelta(days=days)))
    pq.write_table(table, folder / name)
    return table


def test_own_lake_files_replay_with_their_recorded_sums(tmp_path: Path) -> None:
    """All 11 columns, times as strings; a minute that two files hold counts once."""
    source = SyntheticSource(seed=3, markets=1)
    write(tmp_path, source, 8, "a.parquet")
    write(tmp_path, source, 1, "b.parquet")
    start = datetime(2026, 1, 5, tzinfo=UTC)
    replay = ReplaySource(tmp_path)
    span = (start, start + timedelta(days=7))
    assert truth(replay, "KRW-BTC", *span) == truth(source, "KRW-BTC", *span)
    assert truth(replay, "KRW-BTC", start - timedelta(days=1), start) == []


def test_recordings_that_cannot_be_replayed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no Parquet file"):
        ReplaySource(tmp_path)
    table = write(tmp_path, SyntheticSource(markets=1), 2)
    with pytest.raises(ConfigError, match="holds less than one"):
        ReplaySource(tmp_path)
    wrong = {
        "no column trade_price": table.drop_columns(["trade_price"]),
        "more than one minute": table.set_column(10, "unit", pa.array([60] * len(table), pa.int32())),
        "empty values in low_price": table.set_column(5, "low_price", pa.nulls(len(table), pa.float64())),
        "quote currencies are": table.set_column(0, "market", pa.array(["EUR-BTC"] * len(table))),
        "cannot be read": table.set_column(1, "candle_date_time_utc", pa.array(["noon"] * len(table))),
    }
    for message, content in wrong.items():
        pq.write_table(content, tmp_path / "candles.parquet")
        with pytest.raises(ConfigError, match=message):
            ReplaySource(tmp_path)
    (tmp_path / "candles.parquet").write_bytes(b"not Parquet")
    with pytest.raises(ConfigError, match="cannot be read"):
        ReplaySource(tmp_path)
