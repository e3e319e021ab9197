"""Candles of any span, in as few requests as the exchange allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from upbit_elt.candle import MINUTE
from upbit_elt.errors import BadAnswer
from upbit_elt.exchange.client import MAX_COUNT, UpbitClient
from upbit_elt.exchange.gate import Page, Refused
from upbit_elt.exchange.models import MinuteCandle, MinuteUnit

FEW = 5


class UnusablePage(BadAnswer):
    """More rows of a page are wrong than right, so that the others are not believed either; `refused` are a few."""

    def __init__(self, message: str, refused: Sequence[Refused]) -> None:
        super().__init__(message)
        self.refused = tuple(refused[:FEW])


@dataclass
class Arrived:
    """What came for a span: good candles oldest first, refused rows, names of fields that are new to us.

    `empty`: the exchange says that the market has no older candle than these.
    """

    rows: list[MinuteCandle] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    added: set[str] = field(default_factory=set)
    empty: bool = False


def minutes_between(
    client: UpbitClient, market: str, start: datetime, end: datetime, *, overlap: int = 0, unit: MinuteUnit = 1
) -> Arrived:
    """All candles of `unit` minutes of [start - overlap, end) (UTC, multiples of the unit).

    Pages run backwards: the next `to` is the oldest start received, since `count` counts rows and an interval
    without a trade has none. `overlap` candles before `start` come free with the first request. Only an empty answer,
    given twice, says that nothing is older: a page shorter than asked for may have lost rows.

    Raises:
        UnusablePage: most of a page's rows are wrong.
        ExchangeError: see UpbitClient.
    """
    begin = start - overlap * unit * MINUTE
    arrived = Arrived()
    to = end
    while to > begin:
        count = min(MAX_COUNT, int((to - begin) / (unit * MINUTE)))
        page = _sure_page(client, market, unit, to, count)
        arrived.empty = arrived.empty or not page.received
        oldest = _take(arrived, page, begin, market)
        if oldest is None or oldest <= start:
            _take_trailing(arrived, page, begin)
            break
        to = oldest
    arrived.rows.reverse()
    return arrived


def _sure_page(client: UpbitClient, market: str, unit: MinuteUnit, to: datetime, count: int) -> Page:
    page = client.minute_page(market, unit, to=to, count=count)
    return page if page.received else client.minute_page(market, unit, to=to, count=count)


def _take(arrived: Arrived, page: Page, begin: datetime, market: str) -> datetime | None:
    """Add a page's rows from `begin` on; the oldest start to go on from, None when nothing is older."""
    bad = [*page.refused, *page.trailing]
    if 2 * len(bad) > page.received:
        raise UnusablePage(f"{len(bad)} of {page.received} rows of {market} are wrong, first: {bad[0].reason}", bad)
    arrived.rows += [row for row in page.rows if row.start >= begin]
    arrived.refused += [row for row in page.refused if row.end >= begin]
    arrived.added.update(page.added)
    return page.oldest


def _take_trailing(arrived: Arrived, page: Page, begin: datetime) -> None:
    """Refused rows at the end of the last page may stand for any minute down to `begin`."""
    arrived.refused += [row._replace(start=min(begin, row.end)) for row in page.trailing]
