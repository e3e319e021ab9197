"""Tickers: the last trade of a market, its sums of the day (from 00:00 UTC) and of the last 24 hours."""

from __future__ import annotations

import numpy as np

from upbit_elt.replica import seconds
from upbit_elt.replica.bars import DAY, MINUTE, Bars, concat
from upbit_elt.replica.tape import Tape
from upbit_elt.replica.wire import Row, dates, times

_KST_MS = 9 * 3600 * 1000


def ticker(tape: Tape, market: str, now: float) -> Row | None:
    """The ticker at `now` (seconds since the epoch, UTC); None before the first trade.

    The 52-week extremes are those of today and of the prices at 00:00 UTC of the days before, not of every trade of
    the year. Raises UnknownMarket.
    """
    last = tape.minutes(market, 1, int(now) + 1, 1, now)
    if not len(last):
        return None
    day = int(now // DAY)
    today = tape.day_minutes(market, day, now)
    recent = concat([tape.day_minutes(market, day - 1, now), today])
    recent = recent.take(recent.start > now - DAY - MINUTE)
    before = tape.minutes(market, 1, day * DAY, 1, now)
    previous = float(before.close[0]) if len(before) else float(today.open[0])
    price, stamp = float(last.close[0]), int(last.timestamp[0])
    return {
        "market": market,
        **_trade_times(stamp),
        **_prices(today, previous, price),
        **_changes(previous, price),
        "trade_volume": float(seconds.split(market, last).volume[-1]),
        **_sums(today, recent),
        **_year(tape, market, day, today if len(today) else last),
        "timestamp": stamp,
    }


def _trade_times(stamp: int) -> Row:
    utc, kst = times(np.array([stamp, stamp + _KST_MS]) // 1000)
    row: Row = {}
    for zone, text in (("", utc), ("_kst", kst)):
        date, _, clock = text.partition("T")
        row["trade_date" + zone] = date.replace("-", "")
        row["trade_time" + zone] = clock.replace(":", "")
    return {**row, "trade_timestamp": stamp}


def _prices(today: Bars, previous: float, price: float) -> Row:
    """Prices of the day so far; those of a day without trades are the last close."""
    return {
        "opening_price": float(today.open[0]) if len(today) else previous,
        "high_price": float(today.high.max()) if len(today) else previous,
        "low_price": float(today.low.min()) if len(today) else previous,
        "trade_price": price,
        "prev_closing_price": previous,
    }


def _changes(previous: float, price: float) -> Row:
    change = price - previous
    return {
        "change": "RISE" if change > 0 else "FALL" if change < 0 else "EVEN",
        "change_price": abs(change),
        "change_rate": abs(change) / previous,
        "signed_change_price": change,
        "signed_change_rate": change / previous,
    }


def _sums(today: Bars, recent: Bars) -> Row:
    return {
        "acc_trade_price": float(today.quote.sum()),
        "acc_trade_price_24h": float(recent.quote.sum()),
        "acc_trade_volume": float(today.volume.sum()),
        "acc_trade_volume_24h": float(recent.volume.sum()),
    }


def _year(tape: Tape, market: str, day: int, today: Bars) -> Row:
    days, prices = tape.year_marks(market, day)
    moments = np.concatenate([days * DAY, today.start])
    highs, lows = np.concatenate([prices, today.high]), np.concatenate([prices, today.low])
    high, low = int(np.argmax(highs)), int(np.argmin(lows))
    high_date, low_date = dates(moments[[high, low]])
    return {
        "highest_52_week_price": float(highs[high]),
        "highest_52_week_date": high_date,
        "lowest_52_week_price": float(lows[low]),
        "lowest_52_week_date": low_date,
    }
