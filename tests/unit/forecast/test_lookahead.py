"""Nothing of a forecast depends on what came after its origin, and serving computes what training saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta

import numpy as np
import pytest

from tests.unit.forecast.market import END, closes, panel_of
from upbit_elt.forecast import features
from upbit_elt.forecast.artifacts import Champion
from upbit_elt.forecast.panel import Panel, PanelBuilder
from upbit_elt.forecast.predict import predict
from upbit_elt.intervals import Interval

Prices = dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]
MINUTES, NOW = 1900, 1600
"""Length of the history, and its minutes that are known at the origin."""


def history(seed: int) -> Prices:
    """Markets of three quotes: one that passes a price band, a thin one, one listed late, one of tiny prices."""
    rng = np.random.default_rng(seed)

    def path(start: float, tick: float, *, drift: float = 0.0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        steps = rng.choice([-1.0, 0.0, 1.0], p=[0.3, 0.4, 0.3], size=MINUTES)
        return np.rint(np.maximum(start / tick + np.cumsum(steps) + drift * np.arange(MINUTES), 1)) * tick

    prices = {
        "KRW-BTC": path(150e6, 1000.0),
        "KRW-ETH": path(5e6, 1000.0),
        "KRW-UP": path(480.0, 0.1, drift=0.13),
        "KRW-THIN": path(70.0, 0.1),
        "KRW-NEW": path(12.0, 0.01),
        "KRW-TINY": path(3e-8, 1e-8),
        "BTC-ETH": path(0.03, 1e-6),
        "USDT-BTC": path(99_000.0, 10.0),
    }
    prices["KRW-UP"] = np.where(prices["KRW-UP"] < 500, prices["KRW-UP"], np.rint(prices["KRW-UP"]))
    prices["KRW-THIN"][rng.random(MINUTES) < 0.8] = np.nan
    prices["KRW-NEW"][: NOW - 200] = np.nan
    return prices


def other_prices(prices: Prices) -> None:
    for values in prices.values():
        values[NOW:] *= 3


def other_ticks(prices: Prices) -> None:
    for values in prices.values():
        values[NOW:] = 1.0 + 0.01 * np.arange(MINUTES - NOW)


def outage(prices: Prices) -> None:
    for values in prices.values():
        values[NOW:] = np.nan


def listings(prices: Prices) -> None:
    """Among them the leader of the BTC markets and a market that sorts before all others."""
    for name in ("AAA-BTC", "KRW-AAA", "USDT-ETH", "BTC-AAA"):
        prices[name] = np.full(MINUTES, np.nan)
        prices[name][NOW:] = 7.0 + np.arange(MINUTES - NOW) % 5


def build(prices: Prices) -> Panel:
    return panel_of(closes(prices), MINUTES)


def same(a: features.Batch, b: features.Batch, of: Panel, later: Panel) -> None:
    known = [of.markets[number] for number in a.market]
    assert [later.markets[number] for number in b.market] == known
    for field in fields(features.Batch):
        if field.name != "market":
            np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), field.name)


@pytest.mark.parametrize("alter", [other_prices, other_ticks, outage, listings])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_future_changes_no_feature_tick_or_scale(alter: Callable[[Prices], None], seed: int) -> None:
    before, after = history(seed), history(seed)
    alter(after)
    rows = np.array([40, 700, NOW - 100, NOW - 1])
    of, later = build(before), build(after)
    same(features.batch(of, rows), features.batch(later, rows), of, later)
    a, b = (features.learnable(panel, features.batch(panel, rows)) for panel in (of, later))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("alter", [other_prices, outage, listings])
def test_the_future_changes_no_forecast(champion: Champion, alter: Callable[[Prices], None]) -> None:
    before, after = history(2), history(2)
    alter(after)
    origin = END - timedelta(minutes=MINUTES - NOW)
    assert predict(champion, build(before), origin).equals(predict(champion, build(after), origin))


def test_a_hole_of_later_changes_no_feature() -> None:
    rows, prices = np.array([700, NOW - 1]), history(3)
    of, builder = build(prices), PanelBuilder(end=END, minutes=MINUTES)
    prices["KRW-UP"][NOW:] = np.nan
    builder.add(closes(prices))
    builder.add_hole("KRW-UP", Interval(END - timedelta(minutes=MINUTES - NOW), END))
    later = builder.build()
    assert later.missing.any()
    same(features.batch(of, rows), features.batch(later, rows), of, later)


@pytest.mark.parametrize("row", [NOW - 1, NOW - 100, NOW - 150])
def test_serving_computes_what_training_saw(row: int) -> None:
    panel = build(history(4))
    served = panel.until(panel.start + timedelta(minutes=row + 1)).tail(features.LOOKBACK)
    a, b = features.batch(panel, np.array([row])), features.batch(served, np.array([served.minutes - 1]))
    for name in ("last", "tick", "below", "above"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), name)
    np.testing.assert_allclose(a.sigma, b.sigma, rtol=1e-6)
    np.testing.assert_allclose(a.x, b.x, atol=2e-3)
