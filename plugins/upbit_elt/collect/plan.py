"""What to ask next: per market everything between its watermark and the last closed minute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from upbit_elt.candle import floor_minute
from upbit_elt.exchange.models import Ticker

# A tick is stored up to 0.35 s after its minute's end; 2 s make a minute safely closed.
SETTLE = timedelta(seconds=2)
# A market is skipped only when its last trade lies clearly before the window.
INACTIVE_MARGIN = timedelta(seconds=1)


# Minutes before the window that come free with its request: they show what an earlier guess missed.
OVERLAP = 5
# What one request brings at most.
PAGE = timedelta(minutes=200)


class FetchRequest(NamedTuple):
    """A half-open span (UTC minutes) to account for in one market, and how many minutes before it to re-read.

    `since` is an earlier minute down to which must be read again, `traded` the market's last trade (UTC) as known
    before the request: its candle has to be there.
    """

    market: str
    start: datetime
    end: datetime
    overlap: int = 0
    since: datetime | None = None
    traded: datetime | None = None


@dataclass(frozen=True)
class Plan:
    """`asks` need a request, `quiet` spans have no trade as far as the ticker knows."""

    requests: tuple[FetchRequest, ...]
    inactive: tuple[FetchRequest, ...]


def closed_until(server_time: datetime) -> datetime:
    """End (UTC, exclusive) of the last minute that is safely closed by the exchange's clock."""
    return floor_minute(server_time - SETTLE)


def until_settled(server_time: datetime) -> float:
    """Seconds until the minute that has just ended is safely closed; 0 when it is."""
    return max(0.0, SETTLE.total_seconds() - server_time.second)


def make_plan(
    markets: Iterable[str],
    tickers: Sequence[Ticker],
    watermark: Mapping[str, datetime],
    end: datetime,
    first: datetime,
    unsure: Mapping[str, datetime] | None = None,
) -> Plan:
    """Split the markets into those to ask and those without a trade since they were last asked.

    `tickers` must have been read after `end` was closed. A market without a watermark (the very first run, or a
    new listing) is asked from `first` on. `unsure` are the markets that were skipped lately and since when: a ticker
    that has a trade there contradicts the one that they were skipped for.
    """
    unsure = unsure or {}
    # Of two rows of one market the later one counts: it skips nothing that the other would not.
    traded = {ticker.market: ticker.traded for ticker in sorted(tickers, key=lambda ticker: ticker.traded)}
    requests: list[FetchRequest] = []
    inactive: list[FetchRequest] = []
    for market in sorted(markets):
        start = watermark.get(market, first)
        if start >= end:
            continue
        known, since = market in watermark, unsure.get(market)
        silent = known and market in traded and traded[market] < (since or start) - INACTIVE_MARGIN
        request = FetchRequest(market, start, end, OVERLAP if known else 0, since, traded.get(market))
        (inactive if silent else requests).append(request)
    return Plan(tuple(requests), tuple(inactive))
