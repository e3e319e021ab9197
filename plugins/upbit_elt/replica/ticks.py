"""Price ticks of Upbit's markets.

Source: docs.upbit.com, "KRW market info" (table of 2025-07-31), "BTC market info", "USDT market info".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from upbit_elt.replica.noise import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """Ticks of a quote currency: from price `floors[i]` on, the tick is `numerators[i] / denominators[i]`.

    A tick below 1 is stored as 1/n, because only a division gives exactly the double of the decimal literal.
    """

    floors: Floats
    numerators: Floats
    denominators: Floats

    def steps(self, price: Floats) -> tuple[Floats, Floats]:
        """Numerator and denominator of the tick at each price."""
        row = np.maximum(np.searchsorted(self.floors, price, side="right") - 1, 0)
        return self.numerators[row], self.denominators[row]

    def snap(self, price: Floats, threshold: Floats | float = 0.5) -> Floats:
        """Round prices to a multiple of the tick, to at least one tick.

        `threshold` is the part of a tick from which a price is rounded up. Uniform random thresholds give trades on
        both sides of the spread whose mean is the price.
        """
        numerator, denominator = self.steps(price)
        ticks = price / numerator * denominator
        ticks_down = np.floor(ticks)
        ticks_down += ticks - ticks_down >= threshold
        return np.asarray(np.maximum(ticks_down, 1.0) * numerator / denominator, dtype=np.float64)


def _ladder(*rows: tuple[float, float, float]) -> Ladder:
    return Ladder(*(np.array(column) for column in zip(*rows, strict=True)))


_KRW = _ladder(
    (0, 1, 1e8),
    (1e-5, 1, 1e7),
    (1e-4, 1, 1e6),
    (1e-3, 1, 1e5),
    (1e-2, 1, 1e4),
    (0.1, 1, 1e3),
    (1, 1, 1e2),
    (10, 1, 10),
    (100, 1, 1),
    (5_000, 5, 1),
    (10_000, 10, 1),
    (50_000, 50, 1),
    (100_000, 100, 1),
    (500_000, 500, 1),
    (1_000_000, 1_000, 1),
)
_USDT = _ladder((0, 1, 1e8), (1e-4, 1, 1e7), (1e-3, 1, 1e6), (1e-2, 1, 1e5), (0.1, 1, 1e4), (1, 1, 1e3), (10, 1, 1e2))
_BTC = _ladder((0, 1, 1e8))
LADDERS = {"KRW": _KRW, "USDT": _USDT, "BTC": _BTC}


def ladder(market: str) -> Ladder:
    """Ticks of a market such as `KRW-BTC`. Raises KeyError when Upbit does not have the quote currency."""
    return LADDERS[market.partition("-")[0]]
