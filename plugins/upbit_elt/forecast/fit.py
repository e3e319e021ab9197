"""Trains the network on a sample, and decides on another sample how much of its corrections is served."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import torch
from torch import Tensor

from upbit_elt.forecast import features
from upbit_elt.forecast.evaluate import Sample, chunks, log_returns, prices
from upbit_elt.forecast.model import QuantileNet, shrink
from upbit_elt.forecast.panel import Floats
from upbit_elt.forecast.schema import HORIZONS, MEDIAN, QUANTILES
from upbit_elt.forecast.scoring import crps

THREADS = 1  # batches are small: a second thread mostly waits, and the machine has other work
BATCH = 1024
EPOCHS = 6
LEAST_STEPS = 300
RATE = 2e-3
DECAY = 0.5
VARIANCE_WEIGHT, VOLUME_WEIGHT = 0.02, 0.05
LIMIT = 20.0  # scaled returns beyond this are outliers, not information
VOLUME_LIMIT = 30.0
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
GAIN = 0.999  # a loss counts as a gain when it is below this part of the baseline's
# Stricter for the median: on recorded days, smaller gains and any beyond ten minutes did not last on the days after.
MEDIAN_GAIN = 0.995
DRIFT_HORIZON = 10
LEAST_ORIGINS = 20


def fit(seen: Sample, *, seed: int, shared: bool) -> QuantileNet:
    """Train a network on a sample; `shared` says whether features that are equal for all markets are used.

    Every horizon needs at least one known return. The caller's random state is not changed.
    """
    torch.set_num_threads(THREADS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = QuantileNet(seen.batch.x.shape[1])
        z, volume = _targets(seen)
        _start(net, seen.batch.x, z, volume, shared=shared)
        _descend(net, torch.from_numpy(seen.batch.x), _tensor(z), _tensor(volume))
    net.eval()
    return net


def calibrate(net: QuantileNet, unseen: Sample) -> None:
    """Choose for each horizon how far the served quantiles move from the base quantiles to the network's.

    Sets `net.blend` and `net.shift`. The share with the lowest CRPS of rounded prices is chosen, if it beats the base
    in every third of the sample's span; a horizon with too few origins stays at the base. The median differs from the
    last price only up to DRIFT_HORIZON, and only if that lowers the absolute error below MEDIAN_GAIN of the naive one
    in every third.
    """
    with torch.no_grad():
        z = torch.cat([net(x)[0] for x in chunks(unseen.batch.x)])
    known = ~np.isnan(unseen.returns)
    enough = np.array([np.unique(unseen.batch.row[k]).size >= LEAST_ORIGINS for k in known.T])
    near = np.array(HORIZONS) <= DRIFT_HORIZON
    naive = _thirds(unseen, np.abs(unseen.returns))
    net.blend.zero_()
    net.shift.zero_()
    base, best = None, np.full(len(HORIZONS), np.inf)
    for blend, shift in product(SHARES, SHARES):
        share = [torch.full((len(HORIZONS),), value) for value in (blend, shift)]
        served = log_returns(unseen.batch, prices(unseen.batch, shrink(z, net.base, *share).numpy()))
        loss = _thirds(unseen, crps(served, unseen.returns))
        base = loss if base is None else base
        error = _thirds(unseen, np.abs(unseen.returns - served[..., MEDIAN]))
        better = enough & (loss < GAIN * base).all(axis=0) & (loss.sum(axis=0) < best)
        if shift:
            better &= near & (error < MEDIAN_GAIN * naive).all(axis=0)
        best = np.where(better, loss.sum(axis=0), best)
        net.blend[better], net.shift[better] = blend, shift


def _thirds(sample: Sample, values: Floats) -> Floats:
    """Sums of values (N, horizons) over each third of the sample's span, shape (3, horizons)."""
    thirds = np.array_split(np.unique(sample.batch.row), 3)
    return np.stack([np.nansum(values[np.isin(sample.batch.row, third)], axis=0) for third in thirds])


def _targets(sample: Sample) -> tuple[Floats, Floats]:
    """Targets of the training: scaled returns, and volume over the base rate; (N, horizons), NaN where not known."""
    steps = np.array(HORIZONS)
    z = sample.returns / sample.batch.unit
    rate = np.where(sample.batch.rate > 0, sample.batch.rate, np.nan)
    return z.clip(-LIMIT, LIMIT), (sample.volumes / (rate[:, None] * steps)).clip(0, VOLUME_LIMIT)


def _start(net: QuantileNet, x: Floats, z: Floats, volume: Floats, *, shared: bool) -> None:
    """Set the buffers, so that the untrained network serves the volatility-scaled quantiles."""
    base = np.nanquantile(z, QUANTILES, axis=0).T
    base -= base[:, MEDIAN : MEDIAN + 1]
    net.base.copy_(_tensor(base))
    net.mean.copy_(_tensor(x.mean(axis=0)))
    net.scale.copy_(_tensor(np.maximum(x.std(axis=0), 0.1)))
    net.log_variance.copy_(_log_mean(z**2))
    net.log_volume.copy_(_log_mean(volume))
    if not shared:
        net.mask[-features.SHARED :] = 0.0


def _descend(net: QuantileNet, x: Tensor, z: Tensor, volume: Tensor) -> None:
    steps = max(EPOCHS * len(x) // BATCH, LEAST_STEPS)
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    net.train()
    for pick in _batches(len(x), steps):
        optimiser.zero_grad()
        _loss(net, x[pick], z[pick], volume[pick]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()


def _batches(size: int, steps: int) -> Iterator[Tensor]:
    order, at = torch.randperm(size), 0
    for _ in range(steps):
        if at + BATCH > size:
            order, at = torch.randperm(size), 0
        yield order[at : at + BATCH]
        at += BATCH


def _loss(net: QuantileNet, x: Tensor, z: Tensor, volume: Tensor) -> Tensor:
    """Pinball loss of the quantiles, and the deviance x * exp(-s) + s of both expectations."""
    quantiles, log_variance, log_volume = net(x)
    levels = torch.tensor(QUANTILES)
    miss = torch.nan_to_num(z)[..., None] - quantiles
    pinball = torch.maximum(levels * miss, (levels - 1) * miss).mean(dim=-1)
    known, counted = ~torch.isnan(z), ~torch.isnan(volume)
    variance = torch.nan_to_num(z**2) * torch.exp(-log_variance) + log_variance
    amount = torch.nan_to_num(volume) * torch.exp(-log_volume) + log_volume
    extra = VARIANCE_WEIGHT * (variance * known).mean() + VOLUME_WEIGHT * (amount * counted).mean()
    total: Tensor = (pinball * known).mean() + extra
    return total


def _log_mean(values: Floats) -> Tensor:
    """Log of the mean of each column; 0 for a column without a value."""
    count = (~np.isnan(values)).sum(axis=0)
    mean = np.where(count > 0, np.nansum(values, axis=0) / np.maximum(count, 1), 1.0)
    return _tensor(np.log(np.maximum(mean, 1e-6)))


def _tensor(values: Floats) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
