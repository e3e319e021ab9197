"""An endless synthetic exchange that stores nothing: it computes any minute since 2017, also future ones, from a seed.

A coin's log price at each 00:00 UTC is a value of a random walk (see noise.walk); between two of these anchors it takes
1,440 steps (a factor common to all coins plus its own part, with volatility that clusters over an hour to a week, a
daily pattern in KST and fat tails), corrected linearly so that the day ends on the next anchor. A day is computed
without any other day.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from upbit_elt.errors import ConfigError, UnknownMarket
from upbit_elt.replica import bars, noise, roster, ticks
from upbit_elt.replica.bars import Bars
from upbit_elt.replica.noise import Floats, Ints
from upbit_elt.replica.source import QUOTES, Market
from upbit_elt.replica.trading import Flow, trade

DAY_MINUTES = 1440
OUTAGES = ((datetime(2026, 7, 5, 17, tzinfo=UTC), datetime(2026, 7, 5, 20, tzinfo=UTC)),)  # as the real venue's
_SCALES = ((45, 0.3), (300, 0.4), (1440, 0.35), (10080, 0.3))  # wavelength in minutes, amplitude (log volatility)
_OCTAVES = tuple(map(str, range(10)))
_SHOCKS = ("step", "tail")
_TAIL = 0.35


class Path(NamedTuple):
    """One day of a coin or of the common factor.

    `level` (1441 values) is the log price at each minute's edge; `step` (1440 values) has unit deviation on average,
    and `vol` (1440 values) is the log of its momentary deviation.
    """

    level: Floats
    step: Floats
    vol: Floats


class SyntheticSource:
    """Source of `markets` coins against each of `quotes`; the same seed gives the same exchange for ever.

    Raises:
        ConfigError: Upbit does not have the quote currency, or there are too many markets.
    """

    def __init__(self, seed: int = 0, markets: int = 289, quotes: Sequence[str] = ("KRW",)) -> None:
        if not 1 <= markets <= roster.MOST_COINS:
            raise ConfigError(f"markets must be 1 to {roster.MOST_COINS}, not {markets}")
        if unknown := sorted(set(quotes) - set(QUOTES)):
            raise ConfigError(f"quote currencies are {', '.join(QUOTES)}, not {', '.join(unknown)}")
        self._seed = seed
        everything = roster.coins(max(markets, 4))  # USDT, the 4th, is needed to price USDT markets
        self._coins = {coin.code: coin for coin in everything}
        listed = everything if markets >= 4 else everything[:markets]
        self._markets = [_market(coin, quote) for quote in quotes for coin in listed if coin.code != quote]
        self._by_code = {market.code: market for market in self._markets}
        self._common = lru_cache(maxsize=64)(self._common_day)
        self._path = lru_cache(maxsize=64)(self._coin_day)

    def markets(self) -> Sequence[Market]:
        """All markets, also those listed in the future."""
        return self._markets

    def minutes(self, market: str, start: datetime, end: datetime) -> Bars:
        """Closed minutes with trades in [start, end); none before the listing. Raises UnknownMarket."""
        listed = self._market(market).listed
        first, last = int(max(start, listed).timestamp()), int(end.timestamp())
        days = range(first // bars.DAY, -(-last // bars.DAY))
        return bars.concat([self._day(market, day) for day in days]).between(first, last)

    def prices_on(self, market: str, days: Ints) -> Floats:
        """Prices at 00:00 UTC of days (numbers since the epoch); NaN before the listing. Raises UnknownMarket."""
        listed = self._market(market).listed
        quote, _, base = market.partition("-")
        level = self._anchor(base, days) - (0.0 if quote == "KRW" else self._anchor(quote, days))
        prices = ticks.ladder(market).snap(np.exp(level))
        return np.where(days * bars.DAY >= listed.timestamp(), prices, np.nan)

    def _market(self, code: str) -> Market:
        if code not in self._by_code:
            raise UnknownMarket(f"no market {code!r}")
        return self._by_code[code]

    def _day(self, market: str, day: int) -> Bars:
        quote, _, base = market.partition("-")
        coin, path, common = self._coins[base], self._path(base, day), self._common(day)
        against = None if quote == "KRW" else self._path(quote, day)
        flow = Flow(
            level=path.level if against is None else path.level - against.level,
            deviation=coin.deviation * np.exp(path.vol),
            activity=0.7 * path.vol + 0.5 * common.vol,
            trades=coin.trades if against is None else max(coin.trades * 0.05, 0.002),
            trade_size=coin.trade_krw * (1.0 if quote == "KRW" else float(np.exp(-self._log_price(quote)))),
        )
        return _without_outages(trade(market, self._seed, day, flow))

    def _log_price(self, coin: str) -> float:
        return float(np.log(self._coins[coin].price))

    def _coin_day(self, code: str, day: int) -> Path:
        coin, common = self._coins[code], self._common(day)
        step, vol = self._shocks(code, day)
        mixed = coin.common * common.step + (1 - coin.common**2) ** 0.5 * step
        start, end = self._anchor(code, np.array([day, day + 1]))
        level = start + np.concatenate(([0.0], np.cumsum(coin.deviation * mixed)))
        level += (end - level[-1]) * np.arange(DAY_MINUTES + 1) / DAY_MINUTES
        return Path(level, mixed, coin.common * common.vol + (1 - coin.common) * vol)

    def _common_day(self, day: int) -> Path:
        step, vol = self._shocks("common factor", day)
        return Path(np.empty(0), step, vol)

    def _shocks(self, name: str, day: int) -> tuple[Floats, Floats]:
        """Steps and log volatility of one day, 1440 values each."""
        start, end = day * DAY_MINUTES, (day + 1) * DAY_MINUTES
        vol = _season() + sum(
            size * noise.smooth(noise.key(self._seed, name, length), length, start, end) for length, size in _SCALES
        )
        index = np.arange(start, end, dtype=np.int64)
        step, tail = noise.normal(noise.bits(noise.keys(_SHOCKS, self._seed, name), index))
        return np.exp(vol + _TAIL * tail - _TAIL**2) * step, np.asarray(vol)

    def _anchor(self, code: str, days: Ints) -> Floats:
        """Log price in KRW at 00:00 UTC of days (numbers since the epoch)."""
        coin = self._coins[code]
        common = noise.walk(noise.keys(_OCTAVES, self._seed, "common factor"), days)
        own = noise.walk(noise.keys(_OCTAVES, self._seed, code), days)
        daily = coin.deviation * DAY_MINUTES**0.5
        walked = daily * (coin.common * common + (1 - coin.common**2) ** 0.5 * own)
        return np.asarray(self._log_price(code) + walked, dtype=np.float64)


@lru_cache(maxsize=1)
def _season() -> Floats:
    """Log volatility by UTC minute of the day: high around 09:00 and 23:00 KST, low before dawn."""
    hours = np.arange(DAY_MINUTES) / 60 + 9

    def peak(at: float, width: float) -> Floats:
        distance = (hours - at + 12) % 24 - 12
        return np.asarray(np.exp(-((distance / width) ** 2)))

    return np.asarray(0.45 * peak(9.3, 1.0) + 0.4 * peak(23.3, 2.5) - 0.35 * peak(5.0, 2.5) - 0.25)


def _without_outages(day: Bars) -> Bars:
    for start, end in OUTAGES:
        low, high = int(start.timestamp()), int(end.timestamp())
        if len(day) and day.start[0] < high and low < day.start[-1] + bars.MINUTE:
            day = day.take((day.start < low) | (day.start >= high))
    return day


def _market(coin: roster.Coin, quote: str) -> Market:
    listed = coin.listed if quote == "KRW" else coin.listed + timedelta(days=1)
    return Market(f"{quote}-{coin.code}", coin.korean_name, coin.english_name, listed)
