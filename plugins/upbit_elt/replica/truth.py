"""What a source holds, as candles, to compare a lake with."""

from __future__ import annotations

from datetime import datetime

from upbit_elt.candle import Candle
from upbit_elt.replica import wire
from upbit_elt.replica.source import Source


def truth(source: Source, market: str, start: datetime, end: datetime) -> list[Candle]:
    """The closed 1-minute candles of [start, end) (aware), oldest first; minutes without trade have none.

    They are final whatever the clock says: do not ask beyond the exchange's present. Raises UnknownMarket.
    """
    rows = wire.minute_rows(market, source.minutes(market, start, end), 1)
    return [Candle(**row) for row in rows[::-1]]
