"""Scores quantile forecasts, and the baselines that a model has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from upbit_elt.forecast.features import Batch
from upbit_elt.forecast.model import QuantileNet
from upbit_elt.forecast.panel import Bools, Floats, Ints
from upbit_elt.forecast.schema import HORIZONS, MEDIAN, QUANTILES
from upbit_elt.forecast.scoring import crps
from upbit_elt.forecast.tick_size import Ticks, round_to_tick

BASIS_POINT = 1e-4
CHUNK = 8_192  # samples that are computed at once
FARTHEST = 6.0  # in units; no quantile from 5 to 95 % is farther, whatever a network makes of strange inputs
ROUND_OFF = 1e-9  # tolerance with which a price that equals a quantile counts as inside of the interval


@dataclass(frozen=True, slots=True)
class Sample:
    """Samples with their outcomes: log returns and base volumes, (N, horizons), NaN where not known."""

    batch: Batch
    returns: Floats
    volumes: Floats

    def take(self, pick: Bools | Ints) -> Sample:
        """The picked samples."""
        return Sample(self.batch.take(pick), self.returns[pick], self.volumes[pick])


@dataclass(frozen=True, slots=True)
class SampleForecasts:
    """Forecasts of N samples: prices (N, horizons, quantiles); volume and volatility (N, horizons).

    Prices are in the quote currency, volume in base units; volatility is the standard deviation of the log return.
    """

    prices: Floats
    volume: Floats
    volatility: Floats


def forecast(net: QuantileNet, batch: Batch) -> SampleForecasts:
    """Compute the forecasts that are served for the samples; prices are rounded to the tick."""
    net.eval()
    with torch.no_grad():
        parts = [net.served(x) for x in chunks(batch.x)]
        z, variance, volume = (torch.cat(part).double().numpy() for part in zip(*parts, strict=True))
    volume = batch.rate[:, None] * np.array(HORIZONS) * np.exp(volume)
    return SampleForecasts(prices(batch, z), widening(volume), widening(batch.unit * np.exp(variance / 2)))


def chunks(x: Floats) -> list[torch.Tensor]:
    """Split features (N, features) into tensors of at most CHUNK rows, which bounds the memory of a forward pass."""
    return [torch.from_numpy(x[part]) for part in _parts(len(x))]


def prices(batch: Batch, z: Floats) -> Floats:
    """Convert scaled returns z (N, horizons, quantiles) to prices rounded to the tick.

    z is the log return divided by the batch's unit, at most FARTHEST. The distance of each quantile from the median
    widens with the horizon.
    """
    result = np.empty(z.shape)
    side = np.sign(np.array(QUANTILES) - QUANTILES[MEDIAN])
    for part in _parts(len(z)):
        last, unit = batch.last[part, None, None], batch.unit[part, :, None]
        tick = Ticks(*(field[part, None, None] for field in (batch.tick, batch.below, batch.above)))
        returns = z[part].clip(-FARTHEST, FARTHEST) * unit
        median = returns[..., MEDIAN : MEDIAN + 1]
        returns = median + side * widening(np.abs(returns - median))
        result[part] = round_to_tick(last * np.exp(returns), last, tick)
    return result


def widening(values: Floats) -> Floats:
    """Make values (N, horizons, ...) grow with the horizon: the mean of the highest before and the lowest after each.

    What grows already stays; the order of two series stays.
    """
    highest = np.maximum.accumulate(values, axis=1)
    lowest = np.minimum.accumulate(values[:, ::-1], axis=1)[:, ::-1]
    mean: Floats = (highest + lowest) / 2
    return mean


def log_returns(batch: Batch, price: Floats) -> Floats:
    """Log returns of prices (N, horizons, quantiles) against the last price."""
    result: Floats = price / batch.last[:, None, None]
    return np.log(result, out=result)


def _parts(size: int) -> list[slice]:
    return [slice(i, i + CHUNK) for i in range(0, max(size, 1), CHUNK)]


def own_quantiles(train: Sample, batch: Batch) -> Floats:
    """Unconditional baseline: quantiles of each market's own returns in training, (N, horizons, quantiles).

    A market without known returns in training gets the quantiles of all markets.
    """
    table: dict[int, Floats] = {}
    for market in np.unique(batch.market):
        own = train.returns[train.batch.market == market]
        known = own if own.size and not np.isnan(own).all(axis=0).any() else train.returns
        table[int(market)] = np.nanquantile(known, QUANTILES, axis=0).T
    return np.stack([table[int(market)] for market in batch.market])


def baselines(net: QuantileNet, train: Sample, test: Sample) -> dict[str, Floats]:
    """Mean CRPS (horizons,) of each baseline, in basis points.

    `naive` forecasts the last price, `unconditional` the quantiles of the market's own past, `scaled` fixed quantiles
    times the current volatility.
    """
    shape = (len(test.batch), len(HORIZONS), len(QUANTILES))
    scaled = prices(test.batch, np.broadcast_to(net.base.double().numpy(), shape))
    return {
        "naive": mean_crps(np.broadcast_to(0.0, shape), test.returns),
        "unconditional": mean_crps(own_quantiles(train, test.batch), test.returns),
        "scaled": mean_crps(log_returns(test.batch, scaled), test.returns),
    }


def mean_crps(quantiles: Floats, returns: Floats) -> Floats:
    """Mean CRPS in basis points for each horizon; NaN where no outcome is known."""
    return _mean(crps(quantiles, returns)) / BASIS_POINT


def scores(net: QuantileNet, train: Sample, test: Sample) -> list[dict[str, Any]]:
    """One row per horizon: CRPS, coverage of the 90 % interval, MAE, volume and volatility, with the baselines.

    CRPS and MAE are in basis points of the log price. `volume` and `volatility` are the deviance
    x * exp(-s) + s of the forecast (s is its log, x the outcome over the scale; lower is better), and
    `*_constant` that of a constant forecast. Values are None where no outcome is known.
    """
    predicted, returns = forecast(net, test.batch), test.returns
    served = log_returns(test.batch, predicted.prices)
    inside = (returns > served[..., 0] - ROUND_OFF) & (returns < served[..., -1] + ROUND_OFF)
    columns = {
        "crps": mean_crps(served, returns),
        **{f"crps_{name}": value for name, value in baselines(net, train, test).items()},
        "coverage_90": _mean(np.where(np.isnan(returns), np.nan, inside)),
        "mae": _mean(np.abs(returns - served[..., MEDIAN])) / BASIS_POINT,
        "mae_naive": _mean(np.abs(returns)) / BASIS_POINT,
        **_deviances(net, predicted, test),
    }
    rows = np.sum(~np.isnan(returns), axis=0)
    return [
        {"horizon": h, "rows": int(rows[i]), **{name: _number(value[i]) for name, value in columns.items()}}
        for i, h in enumerate(HORIZONS)
    ]


def _deviances(net: QuantileNet, predicted: SampleForecasts, test: Sample) -> dict[str, Floats]:
    unit = test.batch.unit
    span = np.where(test.batch.rate > 0, test.batch.rate, np.nan)[:, None] * np.array(HORIZONS)
    pairs = {
        "volume": (test.volumes / span, np.log(predicted.volume / span), net.log_volume),
        "volatility": ((test.returns / unit) ** 2, 2 * np.log(predicted.volatility / unit), net.log_variance),
    }
    result = {}
    for name, (outcome, log, constant) in pairs.items():
        result[name] = _mean(outcome * np.exp(-log) + log)
        flat = constant.double().numpy()
        result[f"{name}_constant"] = _mean(outcome * np.exp(-flat) + flat)
    return result


def _mean(values: Floats) -> Floats:
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
