"""What a notebook reads: the exchange's candles, holes as holes, forecasts as stored; from HDFS as from a copy."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from tests.support.clock import utc
from tests.support.world import MemoryWorld, refusing
from upbit_elt.candle import MINUTE, wire
from upbit_elt.errors import ConfigError, LakeUnavailable, NotCollected
from upbit_elt.forecast.schema import FORECAST_SCHEMA, QUANTILE_COLUMNS
from upbit_elt.lake import layout
from upbit_elt.lake.folder import FolderLake
from upbit_elt.lake.parquet import encode
from upbit_elt.reader import MarketData

# 11:30 KST of the 24th; the lake's clock goes on from there.
BEGIN = utc(2, 30)


@pytest.fixture
def world(tmp_path: Path) -> MemoryWorld:
    """A lake after its first live run, which brought an hour of every market."""
    world = MemoryWorld(tmp_path / "state", BEGIN + timedelta(seconds=10), first_minutes=60)
    world.collect()
    return world


@pytest.fixture
def market(world: MemoryWorld) -> str:
    return world.busiest(BEGIN - timedelta(hours=1), BEGIN)


def copy_of(world: MemoryWorld, folder: Path) -> Path:
    """The lake's files as `hdfs dfs -get` copies them."""
    root = world.settings.lake_root
    for path, data in world.hdfs.files().items():
        if path.startswith(f"{root}/"):
            place = folder / path.removeprefix(f"{root}/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
    return folder


def test_candles_are_the_exchanges(world: MemoryWorld, market: str) -> None:
    found = MarketData(world.lake).candles(market, BEGIN - timedelta(minutes=40), BEGIN)
    truth = world.truth(BEGIN - timedelta(minutes=40), BEGIN, market)
    assert list(found.index) == [candle.start for candle in truth]
    assert found["close"].tolist() == [candle.trade_price for candle in truth]
    assert found["value"].tolist() == [candle.candle_acc_trade_price for candle in truth]
    assert list(found.columns) == ["open", "high", "low", "close", "volume", "value"]


def test_every_minute_is_a_candle_empty_or_a_hole_with_its_reason(world: MemoryWorld, market: str) -> None:
    world.wire.spoil = refusing(world, market)
    world.collect(BEGIN + timedelta(minutes=10, seconds=10))
    data = MarketData(world.lake)
    found = data.candles(market, BEGIN - timedelta(minutes=40), every_minute=True)
    assert len(found) == 50
    assert set(found["state"].iloc[-10:]) == {"hole"}
    assert set(found["reason"].iloc[-10:]) == {"server_trouble"}
    before = found.iloc[:-10]
    assert set(before["state"]) <= {"candle", "empty"}
    assert before["close"].notna().tolist() == (before["state"] == "candle").tolist()
    (hole,) = data.holes(market, BEGIN - timedelta(minutes=40)).itertuples()
    assert (hole.start, hole.end, hole.minutes) == (BEGIN, BEGIN + timedelta(minutes=10), 10)
    assert (hole.reason, hole.explained) == ("server_trouble", False)


def test_a_market_that_never_trades_has_empty_minutes(world: MemoryWorld) -> None:
    start = BEGIN - timedelta(minutes=40)
    calm = min(world.markets, key=[candle.market for candle in world.truth(start, BEGIN)].count)
    found = MarketData(world.lake).candles(calm, start, every_minute=True)
    assert (found["state"] == "candle").sum() == len(world.truth(start, BEGIN, calm))
    assert set(found["state"]) <= {"candle", "empty"}


def test_a_copy_in_a_folder_gives_the_same(world: MemoryWorld, market: str, tmp_path: Path) -> None:
    copy = MarketData.of_folder(copy_of(world, tmp_path / "copy"))
    there = MarketData(world.lake)
    assert copy.markets() == there.markets() == world.markets
    start = BEGIN - timedelta(minutes=40)
    for every_minute in (False, True):
        ours, theirs = (data.candles(market, start, every_minute=every_minute) for data in (copy, there))
        pd.testing.assert_frame_equal(ours, theirs)


def test_a_copy_is_only_read(world: MemoryWorld, tmp_path: Path) -> None:
    folder = copy_of(world, tmp_path / "copy")
    with pytest.raises(LakeUnavailable, match="a copy of the lake is only read"):
        FolderLake(folder).create("/candle/new", b"")
    with pytest.raises(ConfigError, match="holds no folder `candle`"):
        MarketData.of_folder(tmp_path)


def test_texts_are_korean_time_unless_they_say_otherwise(world: MemoryWorld, market: str) -> None:
    data = MarketData(world.lake)
    frames = [
        data.candles(market, *span)
        for span in (("2026-11-24T11:00", "2026-11-24T11:20"), ("2026-11-24T02:00Z", "2026-11-24T02:20Z"))
    ]
    pd.testing.assert_frame_equal(*frames)
    assert len(frames[0]) == len(world.truth(utc(2), utc(2, 20), market))


@pytest.mark.parametrize(
    ("start", "words"), [("yesterday", "'yesterday' is no time"), ("2030-01-01", "the lake reaches until 2026-11-24")]
)
def test_a_span_that_cannot_be_is_refused_in_words(world: MemoryWorld, market: str, start: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        MarketData(world.lake).candles(market, start)


def test_a_market_that_is_not_there_is_named(world: MemoryWorld, tmp_path: Path) -> None:
    with pytest.raises(NotCollected, match="KRW-NONE"):
        MarketData(world.lake).candles("KRW-NONE", BEGIN - MINUTE)
    empty = MemoryWorld(tmp_path / "other", BEGIN)
    with pytest.raises(NotCollected, match="nothing is collected in /"):
        MarketData(empty.lake).markets()


def stored(origin: datetime, market: str, level: float) -> pa.Table:
    """Forecasts of one origin as the service stores them."""
    rows = [
        {
            "market": name,
            "origin": wire(origin),
            "horizon": horizon,
            "target": wire(origin + horizon * MINUTE),
            **dict.fromkeys(QUANTILE_COLUMNS, level + horizon),
            "expected_volume": 1.0,
            "volatility": 0.1,
            "model_version": "m",
            "issued_utc": wire(origin + MINUTE),
        }
        for name in (market, "KRW-ZZZ")
        for horizon in (1, 60)
    ]
    return pa.Table.from_pylist(rows, schema=FORECAST_SCHEMA)


def test_forecasts_come_by_origin_and_horizon_the_newest_too(world: MemoryWorld, market: str) -> None:
    folder = layout.live_folder(world.lake.root, "forecast", "261124", 1)
    for origin, level in ((BEGIN, 10.0), (BEGIN - 4 * MINUTE, 20.0), (BEGIN - 90 * MINUTE, 30.0)):
        world.lake.publish(f"{folder}/{layout.stamp(origin)}.parquet", encode(stored(origin, market, level)))
    data = MarketData(world.lake)
    found = data.forecasts(market, BEGIN - timedelta(minutes=10))
    assert found["q50"].tolist() == [21.0, 80.0, 11.0, 70.0]
    assert found["origin"].tolist() == [BEGIN - 4 * MINUTE] * 2 + [BEGIN] * 2
    hour = data.forecasts(market, BEGIN - timedelta(minutes=10), horizon=60)
    assert hour["target"].tolist() == [BEGIN + 56 * MINUTE, BEGIN + 60 * MINUTE]
    assert data.forecasts("KRW-NONE", BEGIN - timedelta(minutes=10)).empty
