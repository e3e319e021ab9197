"""Three clients that nobody here wrote work against the replica unchanged and read its truth out of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from upbit_elt.candle import Candle, parse_wire, wire
from upbit_elt.replica import SyntheticSource, truth

REPOSITORY = Path(__file__).parents[2]
PEERS = REPOSITORY / ".venv-peers/bin/python"
MARKET = "KRW-ETH"
NAMES = ("opening_price", "high_price", "low_price", "trade_price", "candle_acc_trade_volume")
Ohlcv = tuple[float, ...]

pytestmark = pytest.mark.skipif(not PEERS.exists(), reason="the clients are not installed in .venv-peers")


@pytest.fixture(scope="module")
def source() -> SyntheticSource:
    return SyntheticSource(seed=5, markets=12, quotes=("KRW", "BTC", "USDT"))


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """A replica process like `source`, on a free port, stopped in the end."""
    options = ["--port", "0", "--seed", "5", "--markets", "12", "--quotes", "KRW,BTC,USDT"]
    process = subprocess.Popen(
        [sys.executable, "-m", "upbit_elt.replica", *options],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY / "plugins")},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        yield next(word for word in process.stdout.readline().split() if word.startswith("http"))
        process.terminate()
        assert process.wait(timeout=10) == 0


@pytest.fixture(scope="module")
def to() -> datetime:
    """A moment two days ago, at 03:00 UTC."""
    return datetime.now(UTC).replace(hour=3, minute=0, second=0, microsecond=0) - timedelta(days=2)


def peer(script: str, *arguments: str, **environment: str) -> Any:
    """What the script prints, run by the clients' own interpreter."""
    command = [str(PEERS), str(Path(__file__).parent / "peers" / script), *arguments]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def sdk(origin: str, to: datetime) -> Any:
    """What Upbit's own SDK read."""
    return peer("sdk_peer.py", MARKET, wire(to) + "Z", UPBIT_BASE_URL=origin)


def listed(source: SyntheticSource) -> set[str]:
    return {market.code for market in source.markets() if market.listed <= datetime.now(UTC)}


def ohlcv(candles: list[Candle]) -> Ohlcv:
    """One candle out of minutes, as the exchange sums them."""
    return (
        candles[0].opening_price,
        max(candle.high_price for candle in candles),
        min(candle.low_price for candle in candles),
        candles[-1].trade_price,
        sum(candle.candle_acc_trade_volume for candle in candles),
    )


def expected(source: SyntheticSource, start: datetime, end: datetime, unit: timedelta) -> dict[datetime, Ohlcv]:
    """Candles of `unit` that start in [start, end), which must lie on its borders; minutes summed by this test."""
    minutes = truth(source, MARKET, start, end)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    parts = groupby(minutes, key=lambda candle: epoch + (candle.start - epoch) // unit * unit)
    return {moment: ohlcv(list(part)) for moment, part in parts}


def read(rows: list[dict[str, Any]]) -> dict[datetime, Ohlcv]:
    """Candles as the SDK hands them on: decimals as text."""
    return {parse_wire(row["candle_date_time_utc"]): tuple(float(row[name]) for name in NAMES) for row in rows}


def assert_equal(seen: dict[datetime, Ohlcv], wanted: dict[datetime, Ohlcv]) -> None:
    """The same candles; prices exactly, sums to a part in 10^9."""
    assert wanted
    assert sorted(seen) == sorted(wanted)
    for moment, candle in wanted.items():
        assert seen[moment] == pytest.approx(candle, rel=1e-9)


def test_upbits_own_sdk(source: SyntheticSource, sdk: Any, to: datetime) -> None:
    assert {row["market"] for row in sdk["markets"]} == listed(source)
    assert {row["market"] for row in sdk["tickers"]} == listed(source)
    assert "PRICE_FLUCTUATIONS" in sdk["markets"][0]["market_event"]["caution"]
    assert abs(sdk["ticker"][0]["trade_timestamp"] / 1000 - datetime.now(UTC).timestamp()) < 600
    minute = timedelta(minutes=1)
    rows = read(sdk["minutes"])
    assert len(rows) == len(sdk["minutes"]) == 400
    assert_equal(rows, expected(source, min(rows), to, minute))
    for unit, candles in sdk["units"].items():
        rows = read(candles)
        assert len(rows) == 10
        end = max(rows) + int(unit) * minute
        assert max(rows) < to <= end
        assert_equal(rows, expected(source, min(rows), end, int(unit) * minute))


def test_upbits_own_sdk_on_longer_and_shorter_candles(source: SyntheticSource, sdk: Any, to: datetime) -> None:
    day = timedelta(days=1)
    rows = read(sdk["days"])
    assert max(rows) == to.replace(hour=0)
    assert_equal(rows, expected(source, min(rows), max(rows) + day, day))
    assert all(row["converted_trade_price"] is None for row in sdk["days"])
    weeks = read(sdk["weeks"])
    assert [moment.weekday() for moment in weeks] == [0, 0, 0]
    oldest = min(weeks)
    assert weeks[oldest] == pytest.approx(ohlcv(truth(source, MARKET, oldest, oldest + 7 * day)), rel=1e-9)
    assert sdk["weeks"][-1]["first_day_of_period"] == f"{oldest:%Y-%m-%d}"
    assert {row["first_day_of_period"][-2:] for row in sdk["months"]} == {"01"}
    assert sdk["years"][0]["first_day_of_period"] == f"{to.year}-01-01"
    seconds = read(sdk["seconds"])
    assert len(seconds) == 200
    whole = [m for m in truth(source, MARKET, min(seconds), to) if m.start > min(seconds)]
    for candle in whole:
        parts = [row for moment, row in seconds.items() if candle.start <= moment < candle.start + timedelta(minutes=1)]
        assert sum(part[4] for part in parts) == pytest.approx(candle.candle_acc_trade_volume, rel=1e-9)


def test_upbits_own_sdk_understands_the_errors(sdk: Any) -> None:
    assert (sdk["unknown"]["type"], sdk["unknown"]["status"]) == ("NotFoundError", 404)
    assert "Code not found" in str(sdk["unknown"]["body"])
    assert (sdk["wrong"]["type"], sdk["wrong"]["status"]) == ("BadRequestError", 400)


def test_ccxt(source: SyntheticSource, origin: str, to: datetime) -> None:
    since = to.replace(hour=0)
    seen = peer("ccxt_peer.py", origin, "ETH/KRW", str(int(since.timestamp() * 1000)))
    assert set(seen["markets"]) == listed(source)
    assert len(seen["tickers"]) == len(listed(source))
    assert seen["ticker"]["symbol"] == "ETH/KRW"
    assert seen["ticker"]["low"] <= seen["ticker"]["last"] <= seen["ticker"]["high"]
    spans = {"1m": (1, 200), "5m": (5, 50), "1h": (60, 24), "4h": (240, 6), "1d": (1440, 2)}
    for kind, (minutes, count) in spans.items():
        unit = timedelta(minutes=minutes)
        rows = {datetime.fromtimestamp(row[0] / 1000, UTC): tuple(row[1:]) for row in seen["candles"][kind]}
        assert_equal(rows, expected(source, since, since + count * unit, unit))
    assert seen["unknown"]["type"] in {"BadSymbol", "ExchangeError"}
    assert "Code not found" in seen["unknown"]["text"]


def test_pyupbit(source: SyntheticSource, origin: str, to: datetime) -> None:
    seen = peer("pyupbit_peer.py", origin, MARKET, f"{to:%Y-%m-%d %H:%M:%S}")
    assert set(seen["markets"]) == listed(source)
    details, limit = seen["details"]
    assert all("market_event" in row for row in details)
    assert (limit["group"], limit["min"]) == ("market", 600)
    assert {row["market"] for row in seen["prices"]} == {MARKET, "KRW-XRP"}
    for interval, minutes, count in (("minute1", 1, 450), ("minute60", 60, 24), ("day", 1440, 3)):
        unit = timedelta(minutes=minutes)
        rows = {
            datetime.fromisoformat(moment + "+09:00").astimezone(UTC): tuple(row[:5])
            for moment, row in seen[interval].items()
        }
        assert len(rows) == count
        end = max(rows) + unit
        assert max(rows) < to <= end
        assert_equal(rows, expected(source, min(rows), end, unit))
    assert seen["unknown"] is None
    assert seen["refusal"] == "UpbitError"
