"""Ask the exchange for many spans at once; a market that fails stalls no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime, timedelta
from typing import NamedTuple

from upbit_elt.candle import MINUTE, Candle, floor_minute
from upbit_elt.collect.plan import Ask
from upbit_elt.errors import (
    BadAnswer,
    Banned,
    ExchangeError,
    Garbled,
    InvalidRequest,
    RateLimited,
    ServerTrouble,
    UnknownMarket,
    Unreachable,
)
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.gate import Refused
from upbit_elt.exchange.models import MinuteUnit
from upbit_elt.exchange.pager import Arrived, UnusablePage, minutes_between
from upbit_elt.holes import HoleReason
from upbit_elt.intervals import gaps
from upbit_elt.lake.coverage import Span, clip

# A trade at a minute's very boundary may be counted to either side.
BOUNDARY = timedelta(seconds=1)
_REASONS: dict[type[ExchangeError], HoleReason] = {
    Garbled: HoleReason.GARBLED,
    InvalidRequest: HoleReason.INVALID_REQUEST,
    RateLimited: HoleReason.RATE_LIMITED,
    ServerTrouble: HoleReason.SERVER_TROUBLE,
    UnknownMarket: HoleReason.DELISTED,
    Unreachable: HoleReason.UNREACHABLE,
}


class Failure(NamedTuple):
    """Why a request brought nothing; `detail` is in words."""

    reason: HoleReason
    detail: str

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.detail}"


class Answer(NamedTuple):
    """What came back for a span: its candles and those of the minutes before it, or why there is none.

    `holes` are the minutes whose row was refused or is late, also those before the span that were read again; `refused`
    are the rows themselves, `added` the names of fields that are new to us. `empty`: the exchange says that the market
    has no older candle than these. `final`: the exchange does not know the market (any more) nor lists it, so asking
    again would fail again.
    """

    ask: Ask
    candles: tuple[Candle, ...] = ()
    before: tuple[Candle, ...] = ()
    failure: Failure | None = None
    final: bool = False
    holes: tuple[Span, ...] = ()
    refused: tuple[Refused, ...] = ()
    added: frozenset[str] = frozenset()
    empty: bool = False

    @property
    def trouble(self) -> str:
        """Why not every minute of it is known, empty when all are."""
        return str(self.failure) if self.failure else self.holes[0].why if self.holes else ""

    def spans(self) -> list[Span]:
        """How the minutes of the asked span are accounted for."""
        market, start, end = self.ask[:3]
        if self.failure:
            return [Span(market, start, end, "hole", *self.failure)]
        holes = list(clip(self.holes, start, end))
        return [*(Span(market, *piece, "asked") for piece in gaps(holes, start, end)), *holes]


def fetch(
    client: UpbitClient, asks: Iterable[Ask], *, workers: int, tick: Callable[[], None], unit: MinuteUnit = 1
) -> Iterator[Answer]:
    """Answers (candles of `unit` minutes) in the order they arrive. `tick` is called after each (to prolong a lease).

    A market's failure is an Answer with its reason. A ban ends the rest at once: each of them then fails without
    a request.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="fetch")
    try:
        for future in as_completed([pool.submit(_ask, client, ask, unit) for ask in asks]):
            yield future.result()
            tick()
    finally:
        # Whoever stops listening (a lost lease, a timeout) sends nothing more.
        pool.shutdown(cancel_futures=True)


def _ask(client: UpbitClient, ask: Ask, unit: MinuteUnit) -> Answer:
    since = ask.since or ask.start
    try:
        arrived = minutes_between(client, ask.market, since, ask.end, overlap=ask.overlap, unit=unit)
        if arrived.empty and ask.traded and not (arrived.rows or arrived.refused):
            raise BadAnswer(f"an empty answer, though {ask.market} traded at {ask.traded:%Y-%m-%dT%H:%M:%SZ}")
    except UnusablePage as error:
        return Answer(ask, failure=_failure(error), refused=error.refused)
    except UnknownMarket as error:
        return _unknown(client, ask, error)
    except ExchangeError as error:
        return Answer(ask, failure=_failure(error))
    candles = [row.to_candle() for row in arrived.rows]
    return Answer(
        ask,
        candles=tuple(candle for candle in candles if candle.start >= ask.start),
        before=tuple(candle for candle in candles if candle.start < ask.start),
        holes=tuple(_holes(ask, since, arrived)),
        refused=tuple(arrived.refused),
        added=frozenset(arrived.added),
        empty=arrived.empty,
    )


def _unknown(client: UpbitClient, ask: Ask, error: UnknownMarket) -> Answer:
    """A market is gone when market/all says so too: an exchange in trouble forgets markets for a while."""
    try:
        listed = any(row.market == ask.market for row in client.markets())
    except ExchangeError as other:
        reason, detail = _failure(other)
        return Answer(ask, failure=Failure(reason, f"{detail}, and before: {error}"))
    if listed:
        return Answer(ask, failure=Failure(HoleReason.BAD_ANSWER, f"{error}, though market/all lists it"))
    return Answer(ask, failure=_failure(error), final=True)


def _failure(error: ExchangeError) -> Failure:
    if isinstance(error, Banned):
        return Failure(HoleReason.BANNED, f"until {error.until:%Y-%m-%dT%H:%M:%SZ}")
    return Failure(_REASONS.get(type(error), HoleReason.BAD_ANSWER), str(error))


def _holes(ask: Ask, since: datetime, arrived: Arrived) -> Iterator[Span]:
    """Minutes whose row was refused (unless a good one came as well), or that the ticker knows of.

    Also of the minutes that are only read again: the lake may lack the very one (a late row that then came wrong).
    """
    there = {row.start for row in arrived.rows}
    for row in arrived.refused:
        start, end = max(row.start, since - ask.overlap * MINUTE), min(row.end, ask.end)
        if start < end and not (end - start == MINUTE and start in there):
            yield Span(ask.market, start, end, "hole", HoleReason.QUARANTINED_ROW, row.reason)
    if ask.traded is None:
        return
    either = {floor_minute(ask.traded - BOUNDARY), floor_minute(ask.traded + BOUNDARY)}
    minute = max(either)
    refused = any(row.start <= minute < row.end for row in arrived.refused)
    if since <= min(either) and minute < ask.end and not refused and not either & there:
        detail = f"the ticker says {ask.traded:%Y-%m-%dT%H:%M:%SZ}, but no candle came"
        yield Span(ask.market, min(either), minute + MINUTE, "hole", HoleReason.LATE_ROW, detail)
