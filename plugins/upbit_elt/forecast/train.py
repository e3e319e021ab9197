"""Trains the model on a panel: splits by time, fits, shrinks to the baselines where they are better, scores."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from upbit_elt.candle import MINUTE, wire
from upbit_elt.errors import NotEnoughHistory
from upbit_elt.forecast import features
from upbit_elt.forecast.evaluate import Sample, scores
from upbit_elt.forecast.fit import calibrate, fit
from upbit_elt.forecast.model import QuantileNet
from upbit_elt.forecast.panel import Ints, Panel
from upbit_elt.forecast.schema import HORIZONS

FORMAT = 1
"""Format of the weights. It is incremented when features or network change, so that older weights are not loaded."""
SEED = 7
LEAST_MINUTES = 180
SETTLED_MINUTES = 3 * 1440
HOLD_OUT = 90
TRAIN_SAMPLES = 150_000
HELD_SAMPLES = 40_000
ORIGINS = 600
"""Origins of a sample at least: a comparison needs many moments, however many markets share them."""


@dataclass(frozen=True)
class TrainedModel:
    """A model with its card, the sample on which it was trained, and a test sample that it has not seen.

    The calibration did not use the test sample either.
    """

    net: QuantileNet
    card: dict[str, Any]
    train: Sample
    test: Sample


@dataclass(frozen=True)
class _Split:
    """Covered rows of the panel; training ends before row `hold`, calibration before `middle`, the test at the end."""

    minutes: Ints
    hold: int
    middle: int


def train(panel: Panel, *, now: datetime, seed: int = SEED) -> TrainedModel:
    """Train on all markets of a panel. The same panel, time and seed give the same model.

    Raises:
        NotEnoughHistory: there are fewer than LEAST_MINUTES minutes of candles, or a horizon has no known outcome.
    """
    split = _split(panel)
    rng = np.random.default_rng(seed)
    seen = _until(sample(panel, split.minutes[split.minutes < split.hold], TRAIN_SAMPLES, rng), split.hold)
    _check(seen)
    held = sample(panel, split.minutes[split.minutes >= split.hold], 2 * HELD_SAMPLES, rng)
    early = held.take(held.batch.row < split.middle)
    settled = split.minutes.size >= SETTLED_MINUTES
    net = fit(seen, seed=seed, shared=settled)
    calibrate(net, _until(early, split.middle))
    test = _test(held, split)
    card = _card(panel, split, now, seed, settled=settled) | {
        "rows": {"train": len(seen.batch), "calibration": len(early.batch), "test": len(test.batch)},
        "shrinkage": {"blend": net.blend.tolist(), "shift": net.shift.tolist()},
        "horizons": scores(net, seen, test),
    }
    return TrainedModel(net, card, seen, test)


def _split(panel: Panel) -> _Split:
    minutes = np.flatnonzero(panel.covered).astype(np.int64)
    if minutes.size < LEAST_MINUTES:
        raise NotEnoughHistory(
            f"training needs {LEAST_MINUTES} minutes of candles, the lake holds {minutes.size} between "
            f"{panel.start:%Y-%m-%d %H:%M} and {panel.end:%Y-%m-%d %H:%M} UTC; wait, or backfill history"
        )
    hold = max(minutes.size // 4, HOLD_OUT)
    return _Split(minutes, int(minutes[-hold]), int(minutes[-(hold // 2)]))


def sample(panel: Panel, rows: Ints, samples: int, rng: np.random.Generator) -> Sample:
    """Make about `samples` samples, usable for training, of all markets at origins chosen randomly from `rows`.

    There are ORIGINS origins at least, if `rows` has as many: with many markets, each has a part of them.
    """
    wanted = min(rows.size, max(samples // len(panel.markets), ORIGINS))
    batch = features.batch(panel, np.sort(rng.choice(rows, wanted, replace=False)))
    batch = batch.take(features.learnable(panel, batch))
    if len(batch) > samples:
        batch = batch.take(np.sort(rng.choice(len(batch), samples, replace=False)))
    return Sample(batch, *features.outcomes(panel, batch))


def _until(sample: Sample, end: int) -> Sample:
    """Remove the outcomes that are known only at row `end` or later: a target must not reach into the next span."""
    known = sample.batch.row[:, None] + np.array(HORIZONS) < end
    parts = (np.where(known, part, np.nan) for part in (sample.returns, sample.volumes))
    return Sample(sample.batch, *parts)


def _check(seen: Sample) -> None:
    empty = [h for h, outcome in zip(HORIZONS, seen.returns.T, strict=True) if np.isnan(outcome).all()]
    if empty:
        raise NotEnoughHistory(
            f"no market has a known price {empty} minutes after another in the training span, because too many "
            f"minutes are missing; training needs {LEAST_MINUTES} minutes without an outage"
        )


def _test(held: Sample, split: _Split) -> Sample:
    """Samples after the calibration span; for horizons too long for calibration also those in it, which were unused."""
    late = held.batch.row >= split.middle
    unused = np.isnan(np.where(late[:, None], held.returns, np.nan)).all(axis=0)
    tested = late[:, None] | unused
    parts = (np.where(tested, part, np.nan) for part in (held.returns, held.volumes))
    test = Sample(held.batch, *parts)
    return test.take(np.flatnonzero(~np.isnan(test.returns).all(axis=1)))


def _card(panel: Panel, split: _Split, now: datetime, seed: int, *, settled: bool) -> dict[str, Any]:
    edges = [int(split.minutes[0]), split.hold, split.middle, panel.minutes]
    times = [_utc(panel.start + edge * MINUTE) for edge in edges]
    return {
        "version": f"{now.astimezone(UTC):%Y%m%dT%H%MZ}",
        "format": FORMAT,
        "created": _utc(now),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "seed": seed,
        "provisional": not settled,
        "data": {
            "start": times[0],
            "end": times[-1],
            "minutes": split.minutes.size,
            "markets": len(panel.markets),
        },
        "spans": dict(zip(("train", "calibration", "test"), map(list, pairwise(times)), strict=True)),
        "units": "CRPS and MAE in basis points of log price; volume and volatility as deviance, lower is better",
    }


def _utc(moment: datetime) -> str:
    return f"{wire(moment)}Z"
