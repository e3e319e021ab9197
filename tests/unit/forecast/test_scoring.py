"""Scores by hand values, by their definitions, and by what they promise of a forecast that is right."""

from __future__ import annotations

import numpy as np
import pytest

from upbit_elt.forecast.schema import QUANTILES
from upbit_elt.forecast.scoring import absolute_error, coverage_90, crps, pinball

STEPS = np.arange(1.0, 10.0)  # quantiles 1 to 9


def test_pinball_by_hand() -> None:
    loss = pinball(STEPS, np.array(6.5))
    by_hand = [0.05 * 5.5, 0.1 * 4.5, 0.25 * 3.5, 0.4 * 2.5, 0.5 * 1.5, 0.6 * 0.5, 0.25 * 0.5, 0.1 * 1.5, 0.05 * 2.5]
    np.testing.assert_allclose(loss, by_hand)
    assert crps(STEPS, np.array(6.5)) == pytest.approx(2 * sum(by_hand) / 9)
    assert absolute_error(STEPS, np.array(6.5)) == 1.5


def test_crps_of_a_point_forecast_is_the_absolute_error() -> None:
    outcome = np.array([3.0, -2.5, 0.0])
    np.testing.assert_allclose(crps(np.zeros((3, 9)), outcome), np.abs(outcome))


def test_the_levels_of_the_truth_score_best_and_near_the_integral() -> None:
    """Of a uniform outcome on [0, 1] the expected CRPS of the whole distribution is 1/6."""
    outcome = (np.arange(100_000) + 0.5) / 100_000
    truth, wide, narrow = (
        crps(np.broadcast_to(0.5 + factor * (np.array(QUANTILES) - 0.5), (outcome.size, 9)), outcome).mean()
        for factor in (1.0, 1.3, 0.7)
    )
    assert truth == pytest.approx(2 * np.mean([level * (1 - level) / 2 for level in QUANTILES]), rel=1e-4)
    assert truth == pytest.approx(1 / 6, rel=0.15)
    assert truth < min(wide, narrow)


def test_nothing_known_has_no_score() -> None:
    outcome = np.array([np.nan, 5.0])
    quantiles = np.stack([STEPS, STEPS])
    for score in (crps, absolute_error, coverage_90):
        assert np.isnan(score(quantiles, outcome)).tolist() == [True, False]


@pytest.mark.parametrize(
    ("quantiles", "outcome", "share"),
    [
        (STEPS, 5.5, 1),
        (STEPS, 5.0, 1),  # an edge of an inner level is inside
        (STEPS, 0.9, 0),
        (STEPS, 9.1, 0),
        (STEPS, 1.0, 0.5),  # the outermost quantile covers the levels 0.025 to 0.075, half of them inside
        (STEPS, 9.0, 0.5),
        (np.ones(9), 1.0, 0.9 / 0.95),  # one price for all: levels 0.025 to 0.975
        (np.ones(9), 1.1, 0),
        (np.array([1, 1, 2, 2, 2, 2, 2, 3, 3]), 1.0, (0.175 - 0.05) / (0.175 - 0.025)),
        (np.array([1, 1, 2, 2, 2, 2, 2, 3, 3]), 2.0, 1),
    ],
)
def test_an_outcome_on_the_edge_counts_by_its_chance(quantiles: np.ndarray, outcome: float, share: float) -> None:
    assert coverage_90(quantiles.astype(float), np.array(outcome)) == pytest.approx(share)


@pytest.mark.parametrize(("ticks", "naive"), [((0.01, 0.5), 0.91), ((0.5, 1.0), 0.94), ((1.0, 2.0), 0.96)])
def test_the_right_distribution_covers_nine_tenths_whatever_the_tick(ticks: tuple[float, float], naive: float) -> None:
    """Prices that move in ticks of so many standard deviations, forecast by their own quantiles."""
    random, shares, insides = np.random.default_rng(1), [], []
    for _ in range(100):
        tick = random.uniform(*ticks)
        prices = np.round((random.normal(size=2000) + random.uniform(0, tick)) / tick) * tick
        quantiles = np.quantile(prices, QUANTILES, method="inverted_cdf")
        shares.append(coverage_90(np.broadcast_to(quantiles, (prices.size, 9)), prices).mean())
        insides.append(((prices >= quantiles[0]) & (prices <= quantiles[-1])).mean())
    assert np.mean(shares) == pytest.approx(0.9, abs=0.02)
    assert np.mean(insides) > naive, "what counting the edges as inside would give"
