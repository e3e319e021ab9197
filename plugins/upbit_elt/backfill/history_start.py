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
from upbit_elt.collect.fetch import Answer, Failure
from upbit_elt.collect.plan import Ask
from upbit_elt.errors import ExchangeError
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.holes import HoleReason
from upbit_elt.lake.coverage import Span

log = logging.getLogger(__name__)


class Emptiness:
    """What is known of it, by market; grows with each empty answer."""

    def __init__(self, client: UpbitClient) -> None:
        self._client = client
        self.nothing_before: dict[str, datetime] = {}
        self._pauses: dict[str, tuple[datetime, datetime]] = {}
        self._gone: dict[str, Failure] = {}

    def learn(self, answer: Answer) -> None:
        """Take in an answer: of an empty one, ask how long it has been so; of a final failure, never ask again."""
        ask = answer.ask
        if answer.final and answer.failure:
            self._gone[ask.market] = answer.failure
        elif not answer.trouble and not answer.candles and self.known(ask) is None:
            self._probe(ask)

    def known(self, ask: Ask) -> Span | None:
        """How the span is accounted for without a request, None when it has to be asked."""
        market, start, end = ask[:3]
        if market in self._gone:
            return Span(market, start, end, "hole", *self._gone[market])
        if market in self.nothing_before and end <= self.nothing_before[market]:
            return Span(market, start, end, "asked", HoleReason.NOT_LISTED)
        first, last = self._pauses.get(market, (end, end))
        return Span(market, start, end, "asked") if first <= start and end <= last else None

    def all_before(self, markets: Iterable[str], moment: datetime) -> bool:
        """Whether none of the markets has a candle before the moment (UTC)."""
        return all(market in self.nothing_before and moment <= self.nothing_before[market] for market in markets)

    def _probe(self, ask: Ask) -> None:
        try:
            older = self._client.minutes(ask.market, to=ask.start, count=1)
            # Asked in another way as well: years of history depend on it.
            traded = older or self._client.minutes(ask.market, 240, to=_four_hours(ask.start), count=1)
        except ExchangeError as error:
            log.warning("%s: whether there is anything before %s is not known: %s", ask.market, ask.start, error)
            return
        if older:
            self._pauses[ask.market] = older[0].start + MINUTE, ask.end
        elif traded:
            log.warning("%s: the exchange contradicts itself about what is before %s", ask.market, ask.start)
        else:
            self.nothing_before[ask.market] = ask.end
            log.info("%s: the exchange has no candle before %s", ask.market, ask.end)


def _four_hours(moment: datetime) -> datetime:
    """The start (UTC) of the 240-minute candle that a moment lies in: those before it end before the moment."""
    return moment.replace(hour=moment.hour // 4 * 4, minute=0)
