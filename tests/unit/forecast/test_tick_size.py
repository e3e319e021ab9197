from __future__ import annotations

import numpy as np
import pytest

from tests.unit.forecast.market import closes, panel_of
from upbit_elt.forecast.tick_size import EDGES, Ticks, band_of, round_to_tick, ticks

Prices = list[float]
CELLS = 10_000


def tick_at(prices: dict[str, Prices], market: str, row: int) -> tuple[float, float, float]:
    """The ticks in, below and above a market's band as of a row; all prices end together."""
    panel = panel_of(closes(prices), max(map(len, prices.values())))
    number = panel.markets.index(market)
    found = ticks(panel, np.array([row]), CELLS)
    return found.here[number, 0], found.below[number, 0], found.above[number, 0]


@pytest.mark.parametrize(
    ("prices", "tick"),
    [
        ([300.0, 301.0, 303.0, 304.0], 1.0),
        ([1000.0, 1005.0, 1010.0, 1025.0], 5.0),
        ([150_700_000.0, 150_803_000.0, 150_640_000.0, 150_641_000.0], 1000.0),
        ([1_530_000_000.0, 1_530_010_000.0, 1_530_020_000.0, 1_530_070_000.0], 10_000.0),
        ([0.1, 0.1001, 0.1003, 0.1007], 0.0001),
        ([1.2e-7, 1.3e-7, 1.4e-7, 1.1e-7], 1e-8),
        ([1e-8, 2e-8, 1e-8, 3e-8], 1e-8),
        ([5000.0, 5000.0, 5000.0, 5000.0], 10.0),
    ],
)
def test_the_tick_is_read_off_the_prices(prices: Prices, tick: float) -> None:
    assert tick_at({"KRW-BTC": prices}, "KRW-BTC", 3)[0] == pytest.approx(tick)


def test_a_tick_is_of_its_row_and_not_of_the_end() -> None:
    prices = {"KRW-XRP": [990.0, 993.0, 991.0, 994.0, 1000.0, 1005.0, 1015.0, 1020.0]}
    assert tick_at(prices, "KRW-XRP", 3)[0] == 1
    assert tick_at(prices, "KRW-XRP", 7)[:2] == (5, 1), "the band below is remembered"


def test_in_a_band_that_is_new_to_a_market_the_tick_is_that_of_the_others_there() -> None:
    new = {"KRW-XRP": [980.0, 985.0, 990.0, 995.0, 1000.0], "USDT-XRP": [1000.0, 1000.1, 1000.3, 1000.2, 1000.1]}
    peers = {f"KRW-P{i}": [1015.0, 1010.0, 1020.0, 1025.0, 1030.0] for i in range(2)}
    odd = {"KRW-ODD": [1001.0, 1002.0, 1003.0, 1004.0, 1005.0]}
    assert tick_at(new | peers | odd, "KRW-XRP", 4) == (5, 5, 5)
    assert tick_at(new | peers | odd, "KRW-XRP", 3) == (5, 5, 5)
    assert tick_at(new | odd, "KRW-XRP", 4)[0] == 1, "the only other one there"
    assert tick_at(new, "KRW-XRP", 4)[0] == 5, "nobody else: that of the band it came from"
    assert tick_at({"KRW-XRP": [980.0, 985.0, 990.0, 995.0, 1001.0]}, "KRW-XRP", 4)[0] == 1, "it divides the last price"


def test_a_few_prices_that_are_multiples_by_chance_make_no_coarse_tick() -> None:
    assert tick_at({"KRW-A": [360.0, 365.0, 360.0, 365.0, 370.0]}, "KRW-A", 4)[0] == 0.1
    assert tick_at({"KRW-A": [360.0, 365.0, 360.0, 365.0, 370.0, 375.0]}, "KRW-A", 5)[0] == 1


def test_minutes_without_a_trade_and_prices_older_than_a_day_do_not_count() -> None:
    old, new = [300.5, 301.5, 302.0, 303.0] * 10, [400.0, 401.0, 403.0, 404.0]
    panel = panel_of(closes({"KRW-A": [*old, *[np.nan] * 1440, *new]}), 2000)
    found = ticks(panel, np.array([515 + 40, 1999]), CELLS).here[0]
    assert found.tolist() == [0.5, 1.0]


def test_markets_in_blocks_have_the_ticks_that_they_have_together() -> None:
    rng = np.random.default_rng(0)
    table = closes({f"KRW-{i}": 990.0 + 5 * rng.integers(0, 5, 60) for i in range(9)})
    panel, rows = panel_of(table, 60), np.arange(0, 60, 7)
    whole, single = ticks(panel, rows, CELLS), ticks(panel, rows, 1)
    for name in ("here", "below", "above"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(single, name))
    assert np.isnan(ticks(panel_of(table, 70), np.array([5]), CELLS).here).all()


def flat(here: float, below: float, above: float) -> Ticks:
    return Ticks(*(np.array(tick) for tick in (here, below, above)))


def test_prices_are_rounded_to_whole_ticks_from_the_last_one_and_stay_positive() -> None:
    prices = np.array([100.34, 100.36, -3.0, 100.0])
    rounded = round_to_tick(prices, np.array(100.05), flat(0.1, 0.1, 0.1))
    assert rounded.tolist() == [100.35, 100.35, 0.1, 100.05]
    large = round_to_tick(np.array([139_226_700.0, 139_414_001.0]), np.array(139_414_000.0), flat(1000, 1000, 1000))
    assert large.tolist() == [139_227_000.0, 139_414_000.0], "no digits that only floats have"


def test_a_price_in_another_band_is_rounded_to_the_tick_there() -> None:
    prices = np.array([991.3, 999.8, 1000.0, 1001.0, 1004.0, 1996.0, 2003.0, 2006.0])
    rounded = round_to_tick(prices, np.array(1000.0), flat(5, 1, 10))
    assert rounded.tolist() == [991, 1000, 1000, 1000, 1005, 1995, 2000, 2010]
    assert round_to_tick(np.array([0.0994]), np.array(0.1), flat(0.001, 0.0001, 0.001)).tolist() == [0.0994]


def test_rounding_keeps_the_order() -> None:
    prices = np.sort(np.random.default_rng(1).uniform(900, 2200, 500))
    for last in (1000.0, 1003.7, 1990.0):
        assert (np.diff(round_to_tick(prices, np.array(last), flat(5, 1, 10))) >= 0).all()


def test_a_price_on_an_edge_is_in_the_band_above_it() -> None:
    assert (band_of(EDGES) == np.arange(EDGES.size)).all()
    near = band_of(np.array([0.05, 0.3 - 0.1, 999.9999, np.nan]))
    assert near.tolist() == [*band_of(np.array([0.05, 0.2, 500.0])), 0]
