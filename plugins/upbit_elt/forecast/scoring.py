"""Scores of quantile forecasts against what came: plain functions of arrays, without torch.

The last axis of `quantiles` is the level (QUANTILES, ascending); `outcome` has the other axes. Losses are in the unit
of the two, lower is better. Every score is NaN where the outcome is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from upbit_elt.forecast.schema import MEDIAN, QUANTILES

Floats = npt.NDArray[np.floating]

ROUND_OFF = 1e-9  # a log price this close to a quantile is equal to it
_LEVELS = np.array(QUANTILES)
# Up to which level a price reaches when the quantile of each level is the last that equals it: half way to the next.
_EDGES = np.concatenate([[0.0], _LEVELS, [1.0]])
_EDGES = (_EDGES[1:] + _EDGES[:-1]) / 2


def pinball(quantiles: Floats, outcome: Floats) -> Floats:
    """Pinball loss of each level, with the shape of `quantiles`."""
    return np.stack([_loss(i, quantiles, outcome) for i in range(len(QUANTILES))], axis=-1)


def crps(quantiles: Floats, outcome: Floats) -> Floats:
    """Continuous ranked probability score over QUANTILES: twice the mean pinball loss.

    Source: Gneiting and Ranjan 2011, J. Bus. Econ. Stat. 29. The levels are few, so it approximates the integral; two
    forecasts of the same levels are compared by the same approximation. Of a point forecast it is the absolute error.
    """
    total = np.zeros_like(outcome)
    for i in range(len(QUANTILES)):  # one level at a time: all at once need nine times the memory
        total += _loss(i, quantiles, outcome)
    return 2 * total / len(QUANTILES)


def _loss(i: int, quantiles: Floats, outcome: Floats) -> Floats:
    miss = outcome - quantiles[..., i]
    loss: Floats = np.maximum(QUANTILES[i] * miss, (QUANTILES[i] - 1) * miss)
    return loss


def absolute_error(quantiles: Floats, outcome: Floats) -> Floats:
    """Distance of the outcome from the median."""
    error: Floats = np.abs(outcome - quantiles[..., MEDIAN])
    return error


def coverage_90(quantiles: Floats, outcome: Floats) -> Floats:
    """How much of the outcome counts as inside of the interval from the first to the last level, 0 to 1.

    Prices have ticks, so an outcome may equal a quantile, and counting it as inside makes intervals look too wide. It
    counts with the chance that a randomised probability integral transform lies within the interval: that is uniform
    over the levels of all quantiles that equal the outcome, from half way to the level before them to half way to the
    one after them. Its mean is used and no draw, so that the same forecasts always get the same score (Czado, Gneiting
    and Held 2009, Biometrics 65). With nine levels that is near, not exact: of a forecast that is right it gives 0.90
    to 0.93, the more the coarser the tick, where counting edges as inside gives 0.92 to 0.98 (test_scoring.py).
    """
    inside = (outcome > quantiles[..., 0]) & (outcome < quantiles[..., -1])
    result: Floats = np.where(np.isnan(outcome), np.nan, inside.astype(float))
    tied = np.abs(outcome[..., None] - quantiles) <= ROUND_OFF
    some = tied.any(axis=-1)
    first = tied[some].argmax(axis=-1)
    last = len(_LEVELS) - 1 - tied[some][..., ::-1].argmax(axis=-1)
    low, high = _EDGES[first], _EDGES[last + 1]
    within = np.minimum(high, _LEVELS[-1]) - np.maximum(low, _LEVELS[0])
    result[some] = within / (high - low)
    return result
