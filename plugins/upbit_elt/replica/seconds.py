"""Second candles inside a minute: they aggregate to the minute's candle, and give its state while it is open."""

from __future__ import annotations

import numpy as np

from upbit_elt.replica import noise, ticks
from upbit_elt.replica.bars import EMPTY, MINUTE, Bars, group
from upbit_elt.replica.noise import Bits, Floats, Ints

_DRAWS = ("second", "close", "weight", "stamp")


def split(market: str, minute: Bars) -> Bars:
    """Second candles of one closed minute (one row); their open, high, low, close and sums aggregate to the minute's.

    The `timestamp` of a second lies in that second; the last one has the minute's own.
    """
    begin = int(minute.start[0])
    random = noise.bits(noise.keys(_DRAWS, "seconds", market), begin + np.arange(MINUTE, dtype=np.int64))
    offsets = _offsets(minute, random)
    count = len(offsets)
    path = _path(market, minute, random[1, :count])
    volume, quote = _shares(minute, path, random[1, :count], -np.log(noise.uniform(random[2, :count])))
    start = begin + offsets
    stamp = start * 1000 + (999 * noise.uniform(random[3, :count])).astype(np.int64)
    stamp[-1] = minute.timestamp[0]
    return Bars(start, path.open, path.high, path.low, path.close, stamp, quote, volume)


def so_far(market: str, minute: Bars, now_ms: int) -> Bars:
    """State of the minute (one row) at `now_ms` (ms since the epoch); no row before its first trade."""
    if minute.timestamp[0] <= now_ms:
        return minute
    parts = split(market, minute)
    parts = parts.take(parts.timestamp <= now_ms)
    return group(parts, np.full(len(parts), minute.start[0])) if len(parts) else EMPTY


def _offsets(minute: Bars, random: Bits) -> Ints:
    """Seconds (0 to 59) of the minute that have a trade; the last one contains the minute's `timestamp`."""
    last = min(int(minute.timestamp[0] // 1000 - minute.start[0]), MINUTE - 1)
    flat = minute.high[0] == minute.low[0]
    wanted = 1 + int(random[0, -1] % np.uint64(3 if flat else 40))
    earlier = np.argsort(random[0, :last])[: max(wanted - 1, 0 if flat else 1)]
    return np.append(np.sort(earlier), last).astype(np.int64)


def _path(market: str, minute: Bars, random: Bits) -> Bars:
    """Prices of the seconds: a path in ticks from open to close; the largest draw touches high, the smallest low."""
    count = len(random)
    high, low = minute.high[0], minute.low[0]
    close = np.clip(ticks.ladder(market).snap(low + noise.uniform(random) * (high - low)), low, high)
    close[-1] = minute.close[0]
    open_ = np.append(minute.open[0], close[:-1])
    highs, lows = np.maximum(open_, close), np.minimum(open_, close)
    highs[int(np.argmax(random))] = high
    lows[int(np.argmin(random))] = low
    empty = np.zeros(count)
    return Bars(np.zeros(count, np.int64), open_, highs, lows, close, np.zeros(count, np.int64), empty, empty)


def _shares(minute: Bars, path: Bars, random: Bits, weight: Floats) -> tuple[Floats, Floats]:
    """Volume and quote sum of each second: its mean price lies between its low and high; sums equal the minute's."""
    volume, high, low = minute.volume[0], minute.high[0], minute.low[0]
    price = (path.high + path.low) / 2
    if high == low or len(weight) == 1:
        return volume * weight / weight.sum(), minute.quote[0] * weight / weight.sum()
    top, bottom = int(np.argmax(random)), int(np.argmin(random))
    price[top], price[bottom] = high, low
    weight = weight / weight.sum()
    aim, have = minute.quote[0] / volume, float(weight @ price)
    target, end = (top, high) if aim > have else (bottom, low)
    moved = (aim - have) / (end - have) if end != have else 0.0
    weight *= 1 - moved
    weight[target] += moved
    return volume * weight, volume * weight * price
