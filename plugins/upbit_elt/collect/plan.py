"""What a live run requests: of every market all minutes between its watermark and the last closed minute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from upbit_elt.candle import floor_minute
from upbit_elt.exchange.models import Ticker

# The exchange stores a trade up to 0.35 s after its minute's end; after 2 s a minute is safely closed.
SETTLE = timedelta(seconds=2)
# A market is skipped only when its last trade lies clearly before the window.
INACTIVE_MARGIN = timedelta(seconds=1)


# Minutes before the window that its request reads again at no cost: they show what an earlier skip missed.
OVERLAP = 5
# The longest span that one request covers.
PAGE = timedelta(minutes=200)


class FetchRequest(NamedTuple):
    """A half-open span (UTC minutes) to account for in one market, and how many minutes before it to re-read.

    `since` is an earlier minute (UTC) from which on minutes are read again. `traded` is the market's last trade (UTC)
    by the ticker, read before the request: its candle must be among the result.
    """

    market: str
    start: datetime
    end: datetime
    overlap: int = 0
    since: datetime | None = None
    traded: datetime | None = None


@dataclass(frozen=True)
class FetchPlan:
    """`requests` are to be sent; `inactive` are the spans of markets that have not traded there by the ticker."""

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
) -> FetchPlan:
    """Split the markets into those to request up to `end` (UTC) and those without a trade since their watermark.

    `tickers` must have been read after `end`. A market without a watermark (in the very first run, or newly listed) is
    requested from `first` (UTC) on. `unsure` gives, for markets that were skipped, the minute since which they were:
    when the ticker shows a trade after it, the skip was wrong, and the market is requested.
    """
    unsure = unsure or {}
    # When a market has two rows, the later trade counts: it makes a skip less likely.
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
    return FetchPlan(tuple(requests), tuple(inactive))
