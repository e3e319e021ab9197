"""Candles of any span, in as few requests as the exchange allows."""

from __future__ import annotations

from datetime import datetime

from upbit_elt.candle import MINUTE
from upbit_elt.exchange.client import MAX_COUNT, UpbitClient
from upbit_elt.exchange.models import MinuteCandle, MinuteUnit


def minutes_between(
    client: UpbitClient, market: str, start: datetime, end: datetime, *, overlap: int = 0, unit: MinuteUnit = 1
) -> list[MinuteCandle]:
    """All candles of `unit` minutes of [start - overlap, end) (UTC, multiples of the unit), oldest first.

    Pages run backwards: the next `to` is the oldest start received, since `count` counts rows and an interval
    without a trade has none. `overlap` candles before `start` come free with the first request.

    Raises:
        ExchangeError: see UpbitClient.
    """
    step = unit * MINUTE
    begin = start - overlap * step
    rows: list[MinuteCandle] = []
    to = end
    while to > begin:
        count = min(MAX_COUNT, int((to - begin) / step))
        page = client.minutes(market, unit, to=to, count=count)
        rows.extend(row for row in page if begin <= row.start < end)
        if len(page) < count or page[-1].start <= start:
            break
        to = page[-1].start
    return rows[::-1]
