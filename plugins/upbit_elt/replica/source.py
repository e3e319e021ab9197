"""The interface of a replica's data, and the description of a market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from upbit_elt.replica.bars import Bars
from upbit_elt.replica.noise import Floats, Ints

QUOTES = ("KRW", "BTC", "USDT")


@dataclass(frozen=True, slots=True)
class Market:
    """A trading pair, named as Upbit does: quote first (`KRW-BTC`). `listed` is its first minute, UTC."""

    code: str
    korean_name: str
    english_name: str
    listed: datetime

    @property
    def quote(self) -> str:
        """Quote currency."""
        return self.code.partition("-")[0]


class Source(Protocol):
    """Final candles of any time: the same call always gives the same result, whatever the clock says."""

    def markets(self) -> Sequence[Market]:
        """All markets, also those listed in the future."""

    def minutes(self, market: str, start: datetime, end: datetime) -> Bars:
        """Minutes with trades that start in [start, end) (aware), in their closed state.

        Raises UnknownMarket.
        """

    def prices_on(self, market: str, days: Ints) -> Floats:
        """Prices at 00:00 UTC of days (numbers since the epoch); NaN where there is none. Raises UnknownMarket."""
