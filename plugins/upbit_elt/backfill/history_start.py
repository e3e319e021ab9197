"""Spans in which the exchange has no candle: before a market's first one, in long pauses, and of delisted markets.

A single request finds the bounds of such a span, so that the years before a listing do not cost a request for each day.
The rule it relies on: `to` with `count=1` gives the newest candle before a moment however old it is, and `[]` when
there is none (docs.upbit.com, candles).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime

from upbit_elt.candle import MINUTE
from upbit_elt.collect.fetch import Failure, FetchResult
from upbit_elt.collect.plan import FetchRequest
from upbit_elt.errors import ExchangeError
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.holes import HoleReason
from upbit_elt.lake.coverage import Span

log = logging.getLogger(__name__)


class HistoryStart:
    """What a run has found out about such spans, by market; every empty result may add to it.

    `nothing_before` gives the minute (UTC) before which the exchange has no candle of a market.
    """

    def __init__(self, client: UpbitClient) -> None:
        self._client = client
        self.nothing_before: dict[str, datetime] = {}
        self._pauses: dict[str, tuple[datetime, datetime]] = {}
        self._delisted: dict[str, Failure] = {}

    def observe(self, result: FetchResult) -> None:
        """Note what a result says; after an empty one, request the newest candle before its span to find the bounds."""
        request = result.request
        if result.delisted and result.failure:
            self._delisted[request.market] = result.failure
        elif not result.trouble and not result.candles and self.known(request) is None:
            self._probe(request)

    def known(self, request: FetchRequest) -> Span | None:
        """The span with how it is accounted for without a request; None when the exchange must be requested."""
        market, start, end = request[:3]
        if market in self._delisted:
            return Span(market, start, end, "hole", *self._delisted[market])
        if market in self.nothing_before and end <= self.nothing_before[market]:
            return Span(market, start, end, "asked", HoleReason.NOT_LISTED)
        first, last = self._pauses.get(market, (end, end))
        return Span(market, start, end, "asked") if first <= start and end <= last else None

    def all_before(self, markets: Iterable[str], moment: datetime) -> bool:
        """Whether it is known of each market that it has no candle before the moment (UTC)."""
        return all(market in self.nothing_before and moment <= self.nothing_before[market] for market in markets)

    def _probe(self, request: FetchRequest) -> None:
        try:
            older = self._client.minutes(request.market, to=request.start, count=1)
            # A second request with another unit confirms it: years of history depend on the result.
            traded = older or self._client.minutes(request.market, 240, to=_four_hours(request.start), count=1)
        except ExchangeError as error:
            log.warning(
                "%s: cannot find out whether there is a candle before %s: %s", request.market, request.start, error
            )
            return
        if older:
            self._pauses[request.market] = older[0].start + MINUTE, request.end
        elif traded:
            log.warning("%s: the exchange contradicts itself about candles before %s", request.market, request.start)
        else:
            self.nothing_before[request.market] = request.end
            log.info("%s: the exchange has no candle before %s", request.market, request.end)


def _four_hours(moment: datetime) -> datetime:
    """The start (UTC) of the 240-minute candle that a moment lies in; candles before it end before the moment."""
    return moment.replace(hour=moment.hour // 4 * 4, minute=0)
