"""What a live run reads before it fetches candles: markets, their tickers, and the minute closed last."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from upbit_elt.clock import Clock, Deadline
from upbit_elt.collect.plan import closed_until, until_settled
from upbit_elt.errors import BadResponse, Banned, ExchangeError, ServerTrouble
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.models import Ticker
from upbit_elt.lake import completeness
from upbit_elt.lake.coverage import Coverage

log = logging.getLogger(__name__)

# Seconds that market/all and ticker/all may take each; without their results the run requests candles all the same.
LISTING = 12.0


class Listing:
    """Reads market/all and ticker/all for the quote currencies `quotes`, each within LISTING seconds."""

    def __init__(self, client: UpbitClient, quotes: Sequence[str], clock: Clock) -> None:
        self._client, self._quotes, self._clock = client, quotes, clock

    def markets(self, known: Coverage | None) -> tuple[list[str], bool]:
        """The markets to collect, and whether they come from market/all; else they are those of the run before.

        Raises ExchangeError when market/all fails and no run before says which markets there were.
        """
        try:
            listed = self._short_client().markets()
        except Banned:
            raise
        except ExchangeError as error:
            listed, trouble = [], error
        else:
            trouble = BadResponse("market/all lists nothing")
        if not listed:
            quotes = tuple(f"{quote}-" for quote in self._quotes)
            collected = completeness.listed(known) if known else ()
            before = sorted(market for market in collected if market.startswith(quotes))
            if not before:
                raise trouble
            log.warning(
                "market/all is not usable (%s); requesting the %d markets of the run before", trouble, len(before)
            )
            return before, False
        markets = [row.market for row in listed if row.quote in self._quotes]
        if not markets:
            wanted, found = ", ".join(self._quotes), ", ".join(sorted({row.quote for row in listed}))
            raise BadResponse(
                f"market/all lists no market quoted in {wanted}; it lists {found}: choose one with UPBIT_ELT_QUOTES"
            )
        return markets, True

    def settled_tickers(self, *, needed: bool) -> tuple[list[Ticker], datetime]:
        """Read the tickers after the last minute has safely closed: (tickers, that minute's end in UTC).

        Without an answer there are no tickers; with `needed` that raises ExchangeError instead.
        """
        for _ in range(5):
            tickers = self._tickers(needed=needed)
            wait = until_settled(self._client.server_time)
            if wait:
                self._clock.sleep(wait)
            if not wait or tickers is None:
                return tickers or [], closed_until(self._client.server_time)
        raise ServerTrouble("the exchange's Date header does not move on; its clock cannot be trusted")

    def check_clock(self, end: datetime) -> None:
        """Compare `end` (UTC) with the clocks of all responses: the two that it was taken from may both run ahead.

        Raises ServerTrouble when the minute before `end` is not over by the usual clock.
        """
        usual = self._client.usual_server_time
        if closed_until(usual) < end:
            raise ServerTrouble(f"the exchange's clock ran ahead: {end:%H:%M} is not over by {usual:%H:%M:%S} UTC")

    def _tickers(self, *, needed: bool) -> list[Ticker] | None:
        try:
            return self._short_client().tickers(self._quotes)
        except Banned:
            raise
        except ExchangeError as error:
            if needed:  # market/all failed too: the exchange answers nothing
                raise
            log.warning("ticker/all is not usable (%s); requesting every market", error)
            return None

    def _short_client(self) -> UpbitClient:
        return self._client.within(Deadline(self._clock, LISTING), attempts=4)
