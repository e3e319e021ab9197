"""The synthetic exchange: the same answer to the same question, and prices that look like prices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from upbit_elt.errors import ConfigError, UnknownMarket
from upbit_elt.replica import Source, SyntheticSource
from upbit_elt.replica.bars import Bars
from upbit_elt.replica.noise import Floats
from upbit_elt.replica.ticks import ladder

END = datetime(2026, 11, 24, tzinfo=UTC)
MONTH = timedelta(days=30)


def same(left: Bars, right: Bars) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left.columns, right.columns, strict=True))


def returns(source: Source, market: str, span: timedelta = MONTH) -> Floats:
    return np.diff(np.log(source.minutes(market, END - span, END).close))


def autocorrelation(values: Floats, lag: int) -> float:
    return float(np.corrcoef(values[lag:], values[:-lag])[0, 1])


@pytest.mark.parametrize("market", ["KRW-BTC", "KRW-JST", "BTC-ETH", "USDT-BTC"])
def test_any_window_gives_the_rows_of_a_larger_one(source: Source, market: str) -> None:
    whole = source.minutes(market, END - timedelta(days=4), END)
    for start, minutes in ((3000, 200), (1439, 2), (1000, 1441)):
        low = END - timedelta(days=4) + timedelta(minutes=start)
        high = low + timedelta(minutes=minutes)
        expected = whole.between(int(low.timestamp()), int(high.timestamp()))
        assert len(expected)
        assert same(source.minutes(market, low, high), expected)


def test_another_process_or_a_past_question_changes_nothing(source: Source) -> None:
    once = source.minutes("KRW-ETH", END - timedelta(hours=5), END)
    fresh = SyntheticSource(seed=7, markets=64, quotes=("KRW",))
    assert same(fresh.minutes("KRW-ETH", END - timedelta(hours=5), END), once)
    other = SyntheticSource(seed=8, markets=64, quotes=("KRW",))
    assert not same(other.minutes("KRW-ETH", END - timedelta(hours=5), END), once)


@pytest.mark.parametrize("market", ["KRW-BTC", "KRW-XRP", "KRW-DOGE", "KRW-SHIB", "KRW-BTT", "BTC-ETH", "USDT-SOL"])
def test_every_candle_is_possible(source: Source, market: str) -> None:
    bars = source.minutes(market, END - timedelta(days=3), END)
    assert len(bars) > 10
    assert (np.minimum(bars.open, bars.close) >= bars.low).all()
    assert (np.maximum(bars.open, bars.close) <= bars.high).all()
    assert (bars.volume > 0).all()
    assert (bars.quote >= bars.low * bars.volume * (1 - 1e-12)).all()
    assert (bars.quote <= bars.high * bars.volume * (1 + 1e-12)).all()
    for prices in (bars.open, bars.high, bars.low, bars.close):
        numerator, denominator = ladder(market).steps(prices)
        ticks = np.round(prices * denominator / numerator)
        assert np.array_equal(ticks * numerator / denominator, prices)


def test_last_ticks_lie_in_their_minute_or_a_third_of_a_second_after(source: Source) -> None:
    bars = source.minutes("KRW-BTC", END - timedelta(days=3), END)
    offset = bars.timestamp - bars.start * 1000
    assert offset.min() >= 0
    assert offset.max() <= 60_350
    assert 0.01 < (offset >= 60_000).mean() < 0.1


@pytest.mark.parametrize("market", ["KRW-BTC", "KRW-XRP", "KRW-ETH", "KRW-SOL"])
def test_returns_are_fat_tailed_and_their_size_persists(source: Source, market: str) -> None:
    moves = returns(source, market)
    size = np.abs(moves)
    assert 0.0005 < size.mean() < 0.003
    assert ((moves - moves.mean()) ** 4).mean() / moves.var() ** 2 > 4  # a normal distribution has 3
    assert autocorrelation(size, 60) > 0.05
    assert abs(autocorrelation(moves, 1)) < 0.1


def test_coins_move_together(source: Source) -> None:
    btc, eth = (source.minutes(market, END - MONTH, END) for market in ("KRW-BTC", "KRW-ETH"))
    _, in_btc, in_eth = np.intersect1d(btc.start, eth.start, return_indices=True)
    moves = [np.diff(np.log(bars.close[rows])) for bars, rows in ((btc, in_btc), (eth, in_eth))]
    assert 0.3 < np.corrcoef(moves[0], moves[1])[0, 1] < 0.95


def test_busy_hours_recur(source: Source) -> None:
    bars = source.minutes("KRW-BTC", END - MONTH, END)
    size, hour = np.abs(np.diff(np.log(bars.close))), (bars.start[1:] // 3600 + 9) % 24
    assert size[hour == 9].mean() > 1.2 * size[(hour == 4) | (hour == 5)].mean()  # KST


def test_days_join_without_jumps(source: Source) -> None:
    bars = source.minutes("KRW-ETH", END - MONTH, END)
    moves = np.abs(np.diff(np.log(bars.close)))
    at_midnight = moves[bars.start[1:] % 86_400 == 0]
    assert len(at_midnight) > 25
    assert at_midnight.mean() < 3 * moves.mean()


def test_some_markets_trade_each_minute_and_some_once_in_hours(source: Source) -> None:
    rows = {m.code: len(source.minutes(m.code, END - timedelta(days=2), END)) for m in source.markets()}
    assert rows["KRW-BTC"] >= 2870
    rare = [count for code, count in rows.items() if code.startswith("KRW-") and 0 < count < 48]
    assert len(rare) >= 3


def test_coarse_ticks_hold_prices_still(source: Source) -> None:
    """Doge's tick of 1 KRW is a third of a percent: half of its recorded minutes do not move."""
    assert 0.35 < (returns(source, "KRW-DOGE") == 0).mean() < 0.8
    assert (returns(source, "KRW-BTC") == 0).mean() < 0.05


def test_markets_begin_at_their_listing(source: Source) -> None:
    markets = {market.code: market for market in source.markets()}
    assert markets["KRW-BTC"].listed == datetime(2017, 9, 25, 3, tzinfo=UTC)
    first = source.minutes("KRW-BTC", datetime(2017, 9, 1, tzinfo=UTC), datetime(2017, 9, 26, tzinfo=UTC))
    assert first.start[0] == markets["KRW-BTC"].listed.timestamp()
    listings = sorted(market.listed for code, market in markets.items() if code.startswith("KRW-"))
    assert sum(listed <= datetime(2026, 9, 23, tzinfo=UTC) for listed in listings) == 64
    assert listings[-1] > END
    assert any(datetime(2025, 9, 1, tzinfo=UTC) < listed < END for listed in listings)


def test_the_price_of_a_day_is_the_one_around_midnight(source: Source) -> None:
    day = int(END.timestamp()) // 86_400
    mark = source.prices_on("KRW-BTC", np.array([day]))[0]
    around = source.minutes("KRW-BTC", END - timedelta(minutes=1), END)
    assert mark == pytest.approx(around.close[0], rel=0.001)
    assert np.isnan(source.prices_on("KRW-BTC", np.array([17_000]))[0])


def test_pairs_of_one_coin_agree(source: Source) -> None:
    span = (END - timedelta(minutes=1), END)
    krw, btc = source.minutes("KRW-ETH", *span).close[0], source.minutes("KRW-BTC", *span).close[0]
    day = np.array([int(END.timestamp()) // 86_400])
    assert source.prices_on("BTC-ETH", day)[0] == pytest.approx(krw / btc, rel=0.002)


def test_the_outage_of_july_2026_is_a_hole_in_all_markets(source: Source) -> None:
    start = datetime(2026, 7, 5, 16, tzinfo=UTC)
    for market in ("KRW-BTC", "KRW-XRP", "USDT-BTC"):
        bars = source.minutes(market, start, start + timedelta(hours=6))
        assert any(later - earlier > 3 * 3600 for earlier, later in pairwise(bars.start))


def test_wrong_requests_are_an_error(source: Source) -> None:
    with pytest.raises(UnknownMarket, match="KRW-NOPE"):
        source.minutes("KRW-NOPE", END, END)
    with pytest.raises(ConfigError, match="KRW, BTC, USDT, not EUR"):
        SyntheticSource(quotes=("KRW", "EUR"))
    with pytest.raises(ConfigError, match="1 to 600, not 0"):
        SyntheticSource(markets=0)
