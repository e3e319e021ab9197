"""The tick: the step of a market's prices, read off the prices themselves.

Upbit's tables differ by quote currency, have exceptions and change over the years
(https://docs.upbit.com/docs/krw-market-info), so a fixed table would be wrong sooner or later.
"""

from __future__ import annotations

import numpy as np

from upbit_elt.forecast.panel import Bools, Floats, Panel

STEPS = np.sort(np.concatenate([10.0 ** np.arange(-8, 4), 5 * 10.0 ** np.arange(-8, 3)]))
WIDEST = 0.01  # a tick is at most this part of the price,
FEW, CAUTIOUS = 4, 0.002  # and this, when fewer different prices were seen: chance makes them look coarse
SHARE = 0.98  # part of the prices that must be multiples: a redenomination or a price band may lie in between
SAMPLE = 1000
SPARE_DIGITS = 3


def ticks(panel: Panel) -> Floats:
    """Shape (markets,): tick in the quote currency; NaN for a market without a price in the panel."""
    columns = zip(panel.close.T, panel.traded.T, strict=True)
    return np.array([_tick(close, traded) for close, traded in columns])


def _tick(close: Floats, traded: Bools) -> float:
    prices = close[traded][-SAMPLE:]
    if prices.size == 0:
        return float("nan")
    part = WIDEST if np.unique(prices).size >= FEW else CAUTIOUS
    widest = max(part * float(prices[-1]), STEPS[0])
    steps = STEPS[: np.searchsorted(STEPS, widest, side="right")]
    ratio = prices[:, None] / steps
    fits = (np.abs(ratio - np.rint(ratio)) < 1e-4).mean(axis=0) >= SHARE
    return float(steps[fits][-1]) if fits.any() else float(steps[0])


def round_to_tick(price: Floats, last: Floats, tick: Floats) -> Floats:
    """Nearest price that is whole ticks away from the last one, at least one tick, without digits it does not have."""
    steps = np.rint((price - last) / tick)
    # a tick is 1 or 5 times a power of ten; the last price may lie between two ticks (SHARE), so some digits more
    scale = 10.0 ** (SPARE_DIGITS + np.maximum(0, np.ceil(-np.log10(tick))))
    rounded: Floats = np.rint(np.maximum(last + steps * tick, tick) * scale) / scale
    return rounded
