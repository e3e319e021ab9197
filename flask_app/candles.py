"""Candles of one market: the recent ones from memory, older ones from Hive day by day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from flask_app.params import EARLIEST, CandleQuery
from flask_app.rows import COLUMNS
from flask_app.services import Services
from flask_app.window import Window
from upbit_elt.candle import MINUTE, day_end, day_start, kst_day, wire
from upbit_elt.errors import UnknownMarket
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive, Statements
from upbit_elt.warehouse.tables import days, partition

# Days that one request searches at most; they take six seconds of Hive's time.
MOST_DAYS = 63


class SearchResult(NamedTuple):
    """Rows (columns in wire order, newest first), and the moment (UTC) before which older days were not searched.

    `unsearched` is None when all days were searched or enough rows were found.
    """

    rows: list[tuple[Any, ...]]
    unsearched: datetime | None


def known_market(window: Window | None, market: str) -> Window:
    """Return the window when it contains the market.

    Raises:
        UnknownMarket: the market was never collected; the message says where the known ones are listed.
    """
    if window is None:
        raise UnknownMarket(f"{market}: no market is known yet, the first run of `min_candle` has not finished")
    if market not in window.coverage.watermark:
        raise UnknownMarket(f"{market!r} was never collected; /api/v1/markets lists the {len(window.markets)} known")
    return window


def find(shared: Services, window: Window, query: CandleQuery) -> SearchResult:
    """Candles of a known market, newest first.

    They come from the window in memory when it holds all of them, otherwise from Hive.

    Raises:
        WarehouseUnavailable, QueryFailed: Hive does not answer, or fails the query.
        Problem: too many searches are under way.
    """
    start, end = query.start or EARLIEST, query.end or window.end
    recent = window.rows(query.market, start, end, query.count)
    if len(recent) == query.count or start >= window.start:
        return SearchResult(recent, None)
    with shared.history.taken():
        return _from_hive(shared.hive, shared.settings, query.market, start, end, query.count)


def _from_hive(hive: Hive, settings: Settings, market: str, start: datetime, end: datetime, count: int) -> SearchResult:
    found: list[tuple[Any, ...]] = []
    with hive.session() as session:
        there = _days(session, settings, start, end)
        searched, beyond = there[:MOST_DAYS], there[MOST_DAYS:]
        for first, last in _batches(searched):
            found += session.query(
                f"SELECT {COLUMNS} FROM {settings.database}.candle "  # noqa: S608
                "WHERE dt >= %(first)s AND dt <= %(last)s AND market = %(market)s "
                "AND candle_date_time_utc >= %(start)s AND candle_date_time_utc < %(end)s",
                {
                    "first": partition(first),
                    "last": partition(last),
                    "market": market,
                    "start": wire(start),
                    "end": wire(end),
                },
            )
            if len(found) >= count:
                break
    # Wire strings sort like times. Sorting here lets Hive answer without starting an execution engine.
    rows = sorted(found, key=lambda row: str(row[1]), reverse=True)[:count]
    return SearchResult(rows, day_start(searched[-1]) if beyond and len(rows) < count else None)


def _days(hive: Statements, settings: Settings, start: datetime, end: datetime) -> list[str]:
    """KST days in Hive that [start, end) touches, newest first."""
    last_day = kst_day(end - MINUTE)
    return [day for day in reversed(days(hive, settings, "candle")) if day <= last_day and day_end(day) > start]


def _batches(days: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (first, last) of consecutive batches of days, newest first. Each batch is twice as long as the one before,
    because rarely traded markets need many days.
    """
    size = 1
    while days:
        chunk, days = days[:size], days[size:]
        yield chunk[-1], chunk[0]
        size *= 2
