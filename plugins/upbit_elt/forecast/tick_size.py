"""The tick, the step of a market's prices, estimated from the prices themselves.

Upbit's tables of ticks differ by quote currency, have exceptions and change over the years
(https://docs.upbit.com/docs/krw-market-info), so a fixed table would become wrong.
"""

from __future__ import annotations

import numpy as np

from upbit_elt.forecast.panel import Bools, Floats, Panel

STEPS = np.sort(np.concatenate([10.0 ** np.arange(-8, 4), 5 * 10.0 ** np.arange(-8, 3)]))
WIDEST = 0.01  # largest tick as a part of the price
FEW, CAUTIOUS = 4, 0.002  # with fewer than FEW different prices, which may look coarse by chance, this part instead
SHARE = 0.98  # part of the prices that must be multiples; the rest may precede a redenomination or a price band
SAMPLE = 1000  # prices that are used at most, the newest ones
SPARE_DIGITS = 3  # decimals kept beyond those of the tick


def ticks(panel: Panel) -> Floats:
    """Tick of each market in the quote currency, shape (markets,); NaN for a market without a price in the panel."""
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
    """Round prices to a whole number of ticks from the last price, to at least one tick, without spurious decimals."""
    steps = np.rint((price - last) / tick)
    # a tick is 1 or 5 times a power of ten; the last price may lie between two ticks (see SHARE), hence SPARE_DIGITS
    scale = 10.0 ** (SPARE_DIGITS + np.maximum(0, np.ceil(-np.log10(tick))))
    rounded: Floats = np.rint(np.maximum(last + steps * tick, tick) * scale) / scale
    return rounded
