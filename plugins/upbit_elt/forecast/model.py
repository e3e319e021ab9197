"""The network: it learns corrections to volatility-scaled quantiles, which are zero before training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from upbit_elt.forecast.schema import HORIZONS, MEDIAN, QUANTILES

HIDDEN = 96
DROPOUT = 0.35
LEAST_GAP = 0.02
"""Least distance of neighbouring base quantiles, in sigma, so that a gap of zero can still grow."""


class QuantileNet(nn.Module):
    """Forecasts quantiles of the scaled return z = log(price / last) / unit, and two expectations.

    All buffers are stored with the weights: `mean`, `scale` and `mask` normalise features; `base` (horizons, quantiles)
    holds the quantiles of z in training; `log_variance` and `log_volume` (horizons,) the log means of z**2 and of
    volume over rate * horizon; `blend` and `shift` (horizons,) say how much of the network's shape and median is
    served.
    """

    def __init__(self, features: int, hidden: int = HIDDEN, dropout: float = DROPOUT) -> None:
        super().__init__()
        horizons, quantiles = len(HORIZONS), len(QUANTILES)
        self.trunk = nn.Sequential(
            nn.Linear(features, hidden), nn.SiLU(), nn.Dropout(dropout),
            nn.Linear(hidden, hidden), nn.SiLU(), nn.Dropout(dropout),
        )  # fmt: skip
        self.head = nn.Linear(hidden, horizons * (quantiles + 2))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.mean, self.scale, self.mask = (_buffer(features, value=v) for v in (0.0, 1.0, 1.0))
        self.log_variance, self.log_volume = (_buffer(horizons) for _ in range(2))
        self.blend, self.shift = (_buffer(horizons, value=1.0) for _ in range(2))
        self.base = _buffer(horizons, quantiles)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute quantiles of z (N, horizons, quantiles), log E[z**2] and log E[volume ratio] (N, horizons each)."""
        normal = ((x - self.mean) / self.scale).clamp(-6, 6) * self.mask
        out = self.head(self.trunk(normal))
        out = out.view(-1, len(HORIZONS), len(QUANTILES) + 2)
        raw, variance, volume = out[..., :-2], out[..., -2], out[..., -1]
        gaps = torch.diff(self.base).clamp_min(LEAST_GAP) * torch.exp(_bounded(_without_median(raw), 3.0))
        median = self.base[:, MEDIAN] + raw[..., MEDIAN]
        lower = median[..., None] - gaps[..., :MEDIAN].flip(-1).cumsum(-1).flip(-1)
        upper = median[..., None] + gaps[..., MEDIAN:].cumsum(-1)
        z = torch.cat([lower, median[..., None], upper], dim=-1)
        return z, self.log_variance + _bounded(variance, 3.0), self.log_volume + _bounded(volume, 3.0)

    def served(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute as `forward`, then shrink the quantiles by `blend` and `shift` (see `shrink`)."""
        z, variance, volume = self(x)
        return shrink(z, self.base, self.blend, self.shift), variance, volume


def shrink(z: Tensor, base: Tensor, blend: Tensor, shift: Tensor) -> Tensor:
    """Interpolate quantiles between `base` and `z` (N, horizons, quantiles), and the median between zero and its own.

    `blend` and `shift` (horizons,) are the weights of `z` and of its median. Quantiles that would cross the median are
    set to it, so that they stay monotone.
    """
    mixed = torch.lerp(base.expand_as(z), z, blend[:, None])
    median = (mixed[..., MEDIAN] * shift)[..., None]
    lower, upper = mixed[..., :MEDIAN], mixed[..., MEDIAN + 1 :]
    return torch.cat([torch.minimum(lower, median), median, torch.maximum(upper, median)], dim=-1)


def _buffer(*size: int, value: float = 0.0) -> nn.Buffer:
    return nn.Buffer(torch.full(size, value))


def _without_median(raw: Tensor) -> Tensor:
    return torch.cat([raw[..., :MEDIAN], raw[..., MEDIAN + 1 :]], dim=-1)


def _bounded(value: Tensor, limit: float) -> Tensor:
    return limit * torch.tanh(value / limit)
