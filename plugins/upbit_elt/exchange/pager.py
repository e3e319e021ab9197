"""Fetch the candles of any span page by page, in as few requests as the exchange allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from upbit_elt.candle import MINUTE
from upbit_elt.errors import BadResponse
from upbit_elt.exchange.client import MAX_COUNT, UpbitClient
from upbit_elt.exchange.models import MinuteCandle, MinuteUnit
from upbit_elt.exchange.validation import Page, QuarantinedRow

FEW = 5


class UnusablePage(BadResponse):
    """Most rows of a page are invalid, so that the others do not count either; `quarantined` are some of them."""

    def __init__(self, message: str, quarantined: Sequence[QuarantinedRow]) -> None:
        super().__init__(message)
        self.quarantined = tuple(quarantined[:FEW])


@dataclass(frozen=True)
class Arrived:
    """The rows received for a span: valid candles (newest first), quarantined rows, and names of unknown fields.

    `nothing_older`: the exchange says that the market has no older candle than these.
    """

    rows: tuple[MinuteCandle, ...] = ()
    quarantined: tuple[QuarantinedRow, ...] = ()
    added: frozenset[str] = frozenset()
    nothing_older: bool = False


@dataclass(frozen=True)
class Pages:
    """The progress of fetching a market's candles of `unit` minutes: `arrived` has all from `reached` (UTC) on.

    Pages run backwards: the next `to` is the oldest start received, since `count` counts rows and an interval without
    a trade has no row. Everything down to `start` is requested; candles down to `begin` are only taken when they fit
    into the same page. Only an empty response, received twice, means that there is no older candle: a page shorter than
    requested may have lost rows.
    """

    market: str
    unit: MinuteUnit
    begin: datetime
    start: datetime
    reached: datetime
    done: bool
    arrived: Arrived = Arrived()

    @classmethod
    def of(cls, market: str, start: datetime, end: datetime, *, overlap: int = 0, unit: MinuteUnit = 1) -> Pages:
        """The state before the first page of [start, end) (UTC, multiples of the unit) and `overlap` candles before."""
        begin = start - overlap * unit * MINUTE
        return cls(market, unit, begin, start, end, done=end <= begin)

    def request(self, client: UpbitClient) -> Pages:
        """Request one page more, and return the state with it.

        Raises:
            UnusablePage: most of the page's rows are invalid.
            ExchangeError: see UpbitClient.
        """
        count = min(MAX_COUNT, int((self.reached - self.begin) / (self.unit * MINUTE)))
        page = _sure_page(client, self.market, self.unit, self.reached, count)
        _check(page, self.market)
        last = page.oldest is None or page.oldest <= self.start
        quarantined = [row for row in page.quarantined if row.end >= self.begin]
        if last:
            # Quarantined rows at the end of the last page may stand for any minute down to `begin`.
            quarantined += [row._replace(start=min(self.begin, row.end)) for row in page.trailing]
        arrived = Arrived(
            (*self.arrived.rows, *(row for row in page.rows if row.start >= self.begin)),
            (*self.arrived.quarantined, *quarantined),
            self.arrived.added | set(page.added),
            self.arrived.nothing_older or not page.received,
        )
        reached = self.begin if last or page.oldest is None else page.oldest
        return replace(self, reached=reached, done=last, arrived=arrived)


def _sure_page(client: UpbitClient, market: str, unit: MinuteUnit, to: datetime, count: int) -> Page:
    page = client.minute_page(market, unit, to=to, count=count)
    return page if page.received else client.minute_page(market, unit, to=to, count=count)


def _check(page: Page, market: str) -> None:
    bad = [*page.quarantined, *page.trailing]
    if 2 * len(bad) > page.received:
        raise UnusablePage(f"{len(bad)} of {page.received} rows of {market} are wrong, first: {bad[0].reason}", bad)
