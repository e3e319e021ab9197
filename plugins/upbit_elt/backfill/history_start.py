"""Where the exchange has nothing: before a market's first candle, in long pauses, and of markets that are gone.

Learned from single requests, so that years before a listing cost no request a day. Source of the rule: `to` with
`count=1` gives the newest candle before a moment however old it is, and `[]` when there is none at all
(docs.upbit.com, candles).
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
    """What is known of it, by market; grows with each empty answer."""

    def __init__(self, client: UpbitClient) -> None:
        self._client = client
        self.nothing_before: dict[str, datetime] = {}
        self._pauses: dict[str, tuple[datetime, datetime]] = {}
        self._gone: dict[str, Failure] = {}

    def observe(self, result: FetchResult) -> None:
        """Take in an answer: of an empty one, ask how long it has been so; of a final failure, never ask again."""
        request = result.request
        if result.final and result.failure:
            self._gone[request.market] = result.failure
        elif not result.trouble and not result.candles and self.known(request) is None:
            self._probe(request)

    def known(self, request: FetchRequest) -> Span | None:
        """How the span is accounted for without a request, None when it has to be asked."""
        market, start, end = request[:3]
        if market in self._gone:
            return Span(market, start, end, "hole", *self._gone[market])
        if market in self.nothing_before and end <= self.nothing_before[market]:
            return Span(market, start, end, "asked", HoleReason.NOT_LISTED)
        first, last = self._pauses.get(market, (end, end))
        return Span(market, start, end, "asked") if first <= start and end <= last else None

    def all_before(self, markets: Iterable[str], moment: datetime) -> bool:
        """Whether none of the markets has a candle before the moment (UTC)."""
        return all(market in self.nothing_before and moment <= self.nothing_before[market] for market in markets)

    def _probe(self, request: FetchRequest) -> None:
        try:
            older = self._client.minutes(request.market, to=request.start, count=1)
            # Asked in another way as well: years of history depend on it.
            traded = older or self._client.minutes(request.market, 240, to=_four_hours(request.start), count=1)
        except ExchangeError as error:
            log.warning(
                "%s: whether there is anything before %s is not known: %s", request.market, request.start, error
            )
            return
        if older:
            self._pauses[request.market] = older[0].start + MINUTE, request.end
        elif traded:
            log.warning("%s: the exchange contradicts itself about what is before %s", request.market, request.start)
        else:
            self.nothing_before[request.market] = request.end
            log.info("%s: the exchange has no candle before %s", request.market, request.end)


def _four_hours(moment: datetime) -> datetime:
    """The start (UTC) of the 240-minute candle that a moment lies in: those before it end before the moment."""
    return moment.replace(hour=moment.hour // 4 * 4, minute=0)
