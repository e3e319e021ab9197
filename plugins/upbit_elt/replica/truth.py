"""The candles of a source, with which tests compare a lake."""

from __future__ import annotations

from datetime import datetime

from upbit_elt.candle import Candle
from upbit_elt.replica import wire
from upbit_elt.replica.source import Source


def truth(source: Source, market: str, start: datetime, end: datetime) -> list[Candle]:
    """The closed 1-minute candles of [start, end) (aware), oldest first; minutes without a trade have none.

    They are final whatever the clock says, so `end` must not be later than the exchange's present. Raises
    UnknownMarket.
    """
    rows = wire.minute_rows(market, source.minutes(market, start, end), 1)
    return [Candle(**row) for row in rows[::-1]]
