"""Simulates trades along a given price path: one day of minute candles of one market."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from upbit_elt.replica import bars, noise, ticks
from upbit_elt.replica.bars import Bars
from upbit_elt.replica.noise import Bits, Floats, Ints

DRAWS = ("count", "close", "open", "high", "low", "size", "vwap", "last", "late")
LATE_MS = 350  # a tick may be stored up to 0.35 s after its minute's end (seen in 29 of 200 minutes of 2020)
_LATE_SHARE = 0.04


class Flow(NamedTuple):
    """The inputs of one simulated day of a market.

    `level` is the log price at the 1,441 edges of the minutes, `deviation` the momentary deviation of a minute's
    log return, `activity` the log of the momentary activity (1,440 values each), `trades` the mean number of
    trades a minute, `trade_size` the mean size of a trade in quote currency.
    """

    level: Floats
    deviation: Floats
    activity: Floats
    trades: float
    trade_size: float


class _Prices(NamedTuple):
    open: Floats
    high: Floats
    low: Floats
    close: Floats


def trade(market: str, seed: int, day: int, flow: Flow) -> Bars:
    """Simulate a UTC day (number since the epoch); give its minutes with trades. Prices are multiples of the tick."""
    index = day * 1440 + np.arange(-1, 1440, dtype=np.int64)  # the minute before gives the opening price
    draws = dict(zip(DRAWS, noise.bits(_keys(market, seed), index), strict=True))
    edges = noise.uniform(draws["close"])
    draws = {name: random[1:] for name, random in draws.items()}
    rate = flow.trades * np.exp(flow.activity)
    traded, single = _counts(noise.uniform(draws["count"]), rate)
    rows = np.flatnonzero(traded)
    prices = _prices(market, flow, rate, edges, draws)
    prices = _Prices(*(np.where(single, prices.close, column)[rows] for column in prices))
    picked = {name: random[rows] for name, random in draws.items()}
    trades = np.where(single, 1.0, np.maximum(rate, 2.0))[rows]
    volume, quote = _amounts(prices, flow.trade_size * trades, flow.activity[rows], picked)
    start = (index[1:] * bars.MINUTE)[rows]
    return Bars(start, *prices, start * 1000 + _last_tick(trades, picked), quote, volume)


@lru_cache(maxsize=2048)
def _keys(market: str, seed: int) -> Bits:
    return noise.keys(DRAWS, seed, market)


def _counts(random: Floats, rate: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks of the minutes that have a trade, and of those that have exactly one (Poisson distribution)."""
    none = np.exp(-rate)
    return random >= none, random < none * (1 + rate)


def _prices(market: str, flow: Flow, rate: Floats, edges: Floats, draws: dict[str, Bits]) -> _Prices:
    snap = ticks.ladder(market).snap
    closes = snap(np.exp(flow.level), edges)
    left, right = flow.level[:-1], flow.level[1:]
    choice = noise.uniform(draws["open"])
    opens = np.where(choice < 0.5, closes[:-1], snap(np.exp(left + 0.05 * (right - left)), (choice * 2) % 1))
    top, bottom = np.maximum(left, right), np.minimum(left, right)
    reach = rate / (rate + 2)  # few trades see little of the path
    high = top + reach * _excess(top - bottom, flow.deviation, noise.uniform(draws["high"]))
    low = bottom - reach * _excess(top - bottom, flow.deviation, noise.uniform(draws["low"]))
    close = closes[1:]
    seldom = 2 / (rate + 2)  # a busy minute trades on both sides of the spread
    return _Prices(
        open=opens,
        high=np.maximum(np.maximum(opens, close), snap(np.exp(high), seldom)),
        low=np.minimum(np.minimum(opens, close), snap(np.exp(low), 1 - seldom)),
        close=close,
    )


def _excess(move: Floats, deviation: Floats, random: Floats) -> Floats:
    """Distance that a Brownian bridge goes beyond its higher end, drawn by inverting its maximum's distribution.

    With P(max > higher end + e) = exp(-2 e (e + move) / deviation^2), as follows from the reflection principle.
    """
    return np.asarray((np.sqrt(move**2 - 2 * deviation**2 * np.log(random)) - move) / 2)


def _amounts(prices: _Prices, size: Floats, activity: Floats, draws: dict[str, Bits]) -> tuple[Floats, Floats]:
    """Base volume (8 decimals) and quote sum, whose ratio lies between low and high."""
    spent = size * np.exp(activity + 0.8 * noise.normal(draws["size"]))
    volume = np.maximum(np.round(spent / prices.close, 8), 1e-8)
    place = 0.15 + 0.7 * noise.uniform(draws["vwap"])
    return volume, volume * (prices.low + (prices.high - prices.low) * place)


def _last_tick(trades: Floats, draws: dict[str, Bits]) -> Ints:
    """Ms from the minute's start to the last of `trades` ticks; sometimes it is stored after the minute's end."""
    offset = 59_999 * noise.uniform(draws["last"]) ** (1 / trades)
    late = noise.uniform(draws["late"])
    return np.where((late < _LATE_SHARE) & (trades > 3), 60_000 + LATE_MS * late / _LATE_SHARE, offset).astype(np.int64)
