"""Candles of every kind as an exchange serves them at a given time, computed from a source's final minutes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from functools import lru_cache
from threading import Lock
from typing import Literal

import numpy as np

from upbit_elt.errors import UnknownMarket
from upbit_elt.replica import seconds
from upbit_elt.replica.bars import DAY, EMPTY, MINUTE, Bars, concat, group
from upbit_elt.replica.noise import Floats, Ints
from upbit_elt.replica.source import Market, Source

Period = Literal["days", "weeks", "months", "years"]
SECONDS_REACH = 90 * DAY  # second candles reach back three months
_LONGEST: dict[Period, int] = {"days": 1, "weeks": 7, "months": 31, "years": 366}
_CHUNK = 32  # days that are aggregated and cached together
_LATE = MINUTE + 1  # a minute is final this long after its start, as ticks come up to 0.35 s late


class _Lru:
    """Cache of Bars by key, which drops the least recently used ones when it holds too many rows."""

    def __init__(self, rows: int) -> None:
        self._most, self._rows = rows, 0
        self._kept: OrderedDict[Hashable, Bars] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], Bars]) -> Bars:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._rows += len(made) + 16  # 16 rows: what even an empty entry weighs
            while self._rows > self._most:
                self._rows -= len(self._kept.popitem(last=False)[1]) + 16
        return made


class Tape:
    """The candles of `source` that the exchange serves at the time `now`. Times are in seconds since the epoch (UTC).

    A candle exists from its first trade on and changes until its last tick is stored. Results are oldest first. Methods
    raise UnknownMarket for a market that the source does not have.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._by_code = {market.code: market for market in source.markets()}
        self._minutes = _Lru(700_000)  # 64 bytes a row
        self._days = _Lru(200_000)
        self.year_marks = lru_cache(maxsize=2048)(self._year_prices)

    def markets(self, now: float) -> list[Market]:
        """The markets that are listed at `now`, in the source's order."""
        return [market for market in self._by_code.values() if market.listed.timestamp() <= now]

    def is_listed(self, market: str, now: float) -> bool:
        """Whether the market is listed at `now`."""
        found = self._by_code.get(market)
        return found is not None and found.listed.timestamp() <= now

    def minutes(self, market: str, unit: int, before: int, count: int, now: float) -> Bars:
        """The newest `count` candles of `unit` minutes that start before `before`."""
        parts: list[Bars] = []
        for day in self._days_back(market, before, now):
            bars = self.day_minutes(market, day, now)
            bars = group(bars, bars.start - bars.start % (unit * MINUTE)) if unit > 1 else bars
            parts.append(bars.take(bars.start < before))
            if sum(map(len, parts)) >= count:
                break
        return concat(parts[::-1]).take(slice(-count, None))

    def seconds(self, market: str, before: int, count: int, now: float) -> Bars:
        """The newest `count` second candles that start before `before`, none older than three months."""
        parts: list[Bars] = []
        found = 0
        for day in self._days_back(market, before, now):
            minutes = self._final(market, day)
            for row in np.flatnonzero(minutes.start < min(before, now))[::-1]:
                bars = seconds.split(market, minutes.take(slice(row, row + 1)))
                closed_bars = (bars.start < before) & (bars.timestamp <= now * 1000)
                parts.append(bars.take(closed_bars & (bars.start >= now - SECONDS_REACH)))
                found += len(parts[-1])
                if found >= count:
                    return concat(parts[::-1]).take(slice(-count, None))
            if day * DAY < now - SECONDS_REACH:
                break
        return concat(parts[::-1])

    def periods(self, market: str, period: Period, before: int, count: int, now: float) -> Bars:
        """The newest `count` days (from 00:00 UTC), weeks (Monday), months or years that start before `before`."""
        last_day = min(self._last_day(before, now) + _LONGEST[period] - 1, int(now // DAY))
        days, bars = EMPTY, EMPTY
        for chunk in range(last_day // _CHUNK, self._first_day(market) // _CHUNK - 1, -1):
            days = concat([self._chunk(market, chunk, now), days])
            bars = group(days, starts(period, days.start))
            bars = bars.take(bars.start < before)
            if len(bars) > count:  # one more than requested, because the oldest may lack days of an earlier chunk
                break
        return bars.take(slice(-count, None))

    def day_minutes(self, market: str, day: int, now: float) -> Bars:
        """Minutes of a UTC day (number since the epoch) as they are at `now`."""
        final = self._final(market, day)
        if (day + 1) * DAY + _LATE <= now:
            return final
        begun = final.take(final.start <= now)
        growing = int(np.searchsorted(begun.start, now - _LATE))
        now_ms = int(now * 1000)
        rows = [begun.take(slice(row, row + 1)) for row in range(growing, len(begun))]
        return concat([begun.take(slice(growing)), *(seconds.so_far(market, row, now_ms) for row in rows)])

    def _year_prices(self, market: str, day: int) -> tuple[Ints, Floats]:
        """Days (since the epoch) of the 52 weeks that end with `day`, and the prices at their 00:00 UTC."""
        days = np.arange(day - 363, day + 1, dtype=np.int64)
        prices = self.source.prices_on(market, days)
        there = ~np.isnan(prices)
        return days[there], prices[there]

    def _days_back(self, market: str, before: int, now: float) -> range:
        return range(self._last_day(before, now), self._first_day(market) - 1, -1)

    @staticmethod
    def _last_day(before: int, now: float) -> int:
        return int(min(before - 1, now) // DAY)

    def _first_day(self, market: str) -> int:
        if market not in self._by_code:
            raise UnknownMarket(f"no market {market!r}")
        return int(self._by_code[market].listed.timestamp()) // DAY

    def _final(self, market: str, day: int) -> Bars:
        return self._minutes.get((market, day), lambda: self._read(market, day, day + 1))

    def _read(self, market: str, first_day: int, end_day: int) -> Bars:
        return self.source.minutes(market, _moment(first_day * DAY), _moment(end_day * DAY))

    def _chunk(self, market: str, chunk: int, now: float) -> Bars:
        """Day candles of one chunk of days as they are at `now`; those of finished days are cached."""
        first, end = chunk * _CHUNK, (chunk + 1) * _CHUNK
        closed = max(min(end, int((now - _LATE) // DAY)), first)  # days before this one are final
        final = self._days.get((market, chunk, closed), lambda: _by_day(self._read(market, first, closed)))
        recent = [self.day_minutes(market, day, now) for day in range(closed, min(end, int(now // DAY) + 1))]
        return concat([final, *map(_by_day, recent)])


def starts(period: Period, moments: Ints) -> Ints:
    """Starts of the periods that contain the moments (seconds since the epoch, UTC)."""
    days = moments // DAY
    if period == "days":
        first = days
    elif period == "weeks":
        first = days - (days + 3) % 7  # 1970-01-01 was a Thursday
    else:
        dates = days.astype("datetime64[D]")
        first = dates.astype("datetime64[M]" if period == "months" else "datetime64[Y]")
        first = first.astype("datetime64[D]").astype(np.int64)
    return np.asarray(first * DAY, dtype=np.int64)


def _by_day(bars: Bars) -> Bars:
    return group(bars, bars.start - bars.start % DAY)


def _moment(seconds_since_epoch: int) -> datetime:
    return datetime.fromtimestamp(seconds_since_epoch, UTC)
