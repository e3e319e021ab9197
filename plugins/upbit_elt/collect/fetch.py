"""Ask the exchange for many spans at once; a market that fails stalls no other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import NamedTuple

from upbit_elt.candle import MINUTE, Candle, floor_minute
from upbit_elt.clock import Deadline
from upbit_elt.collect.dispatch import Dispatcher
from upbit_elt.collect.plan import FetchRequest
from upbit_elt.errors import (
    BadResponse,
    Banned,
    EndpointDown,
    ExchangeError,
    Garbled,
    InvalidRequest,
    OutOfTime,
    RateLimited,
    ServerTrouble,
    UnknownMarket,
    Unreachable,
)
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.models import MinuteUnit
from upbit_elt.exchange.pager import Arrived, Pages, UnusablePage
from upbit_elt.exchange.validation import QuarantinedRow
from upbit_elt.holes import HoleReason
from upbit_elt.intervals import gaps
from upbit_elt.lake.coverage import Span, clip

# A trade at a minute's very boundary may be counted to either side.
BOUNDARY = timedelta(seconds=1)
_REASONS: dict[type[ExchangeError], HoleReason] = {
    EndpointDown: HoleReason.ENDPOINT_DOWN,
    Garbled: HoleReason.GARBLED,
    InvalidRequest: HoleReason.INVALID_REQUEST,
    OutOfTime: HoleReason.OUT_OF_TIME,
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


class FetchResult(NamedTuple):
    """What came back for a span: its candles and those of the minutes before it, or why there is none.

    With a `failure` nothing before the minute `reached` is known; there may be candles from it on.
    `holes` are the minutes whose row was refused or is late, also those before the span that were read again; `refused`
    are the rows themselves, `added` the names of fields that are new to us. `empty`: the exchange says that the market
    has no older candle than these. `final`: the exchange does not know the market (any more) nor lists it, so asking
    again would fail again.
    """

    request: FetchRequest
    candles: tuple[Candle, ...] = ()
    before: tuple[Candle, ...] = ()
    failure: Failure | None = None
    final: bool = False
    holes: tuple[Span, ...] = ()
    quarantined: tuple[QuarantinedRow, ...] = ()
    added: frozenset[str] = frozenset()
    empty: bool = False
    reached: datetime | None = None

    @property
    def trouble(self) -> str:
        """Why not every minute of it is known, empty when all are."""
        return str(self.failure) if self.failure else self.holes[0].why if self.holes else ""

    def newest_part(self) -> FetchResult:
        """Where only the newest minutes came: the answer to those alone, without a failure. Else the same answer."""
        if self.reached is None:
            return self
        return self._replace(request=self.request._replace(start=self.reached), failure=None, reached=None)

    def spans(self) -> list[Span]:
        """How the minutes of the asked span are accounted for."""
        market, start, end = self.request[:3]
        holes = list(clip(self.holes, start, end))
        if self.failure:
            holes.append(Span(market, start, self.reached or end, "hole", *self.failure))
        return [*(Span(market, *piece, "asked") for piece in gaps(holes, start, end)), *holes]


@dataclass(frozen=True)
class Budget:
    """How long to ask, and whom last: markets that did not answer the last time.

    With `newest` a market of which not all could be asked gives the newest part, else nothing.
    """

    deadline: Deadline
    last: Collection[str] = ()
    newest: bool = False


def fetch(
    client: UpbitClient,
    requests: Iterable[FetchRequest],
    *,
    workers: int,
    tick: Callable[[], None],
    unit: MinuteUnit = 1,
    budget: Budget | None = None,
) -> Iterator[FetchResult]:
    """Answers (candles of `unit` minutes) in the order they arrive. `tick` is called now and then (to prolong a lease).

    A market's failure is a FetchResult with its reason. Each market is requested once before one that failed is tried
    again, and an endpoint that answers nobody is left alone (see Dispatcher). A ban ends the rest at once: each of them
    fails without a request. When the `budget` is used up, the rest fails.
    """
    budget = budget or Budget(Deadline(client.clock, float("inf")))
    hurried = client.within(budget.deadline, attempts=1)
    listing = _Listing(hurried)
    jobs = [_Job(hurried, listing, request, unit, suspect=request.market in budget.last) for request in requests]
    for job in Dispatcher(client.clock, jobs, workers, budget.deadline).run(tick):
        yield job.result(newest=budget.newest)


class _Listing:
    """What the exchange lists, asked for once: a market is gone only when market/all says so too."""

    def __init__(self, client: UpbitClient) -> None:
        self._client = client
        self._markets: frozenset[str] | None = None
        self._lock = Lock()

    def has(self, market: str) -> bool:
        """Whether a market is listed. Raises ExchangeError."""
        with self._lock:
            if self._markets is None:
                self._markets = frozenset(row.market for row in self._client.markets())
            return market in self._markets


class _Job:
    """One ask under way, page by page."""

    def __init__(
        self, client: UpbitClient, listing: _Listing, request: FetchRequest, unit: MinuteUnit, *, suspect: bool
    ) -> None:
        self._client, self._listing, self._ask = client, listing, request
        self._pages = Pages.of(
            request.market, request.since or request.start, request.end, overlap=request.overlap, unit=unit
        )
        self.suspect = suspect
        self.error: ExchangeError | None = None
        self._gone = False

    @property
    def done(self) -> bool:
        """Whether all has been asked for."""
        return self._pages.done

    def step(self) -> None:
        """Ask for the next page."""
        try:
            pages = self._pages.request(self._client)
            self._check(pages)
            self._pages = pages
        except UnknownMarket as error:
            self.error = self._unless_listed(error)
        except ExchangeError as error:
            self.error = error

    def result(self, *, newest: bool) -> FetchResult:
        """What has come, and why no more; `newest` says whether a part of it counts."""
        request, pages, error = self._ask, self._pages, self.error
        if pages.done:
            return _result(request, pages)
        failure = _failure(error or OutOfTime("no answer in time"))
        quarantined = error.quarantined if isinstance(error, UnusablePage) else ()
        if newest and request.start < pages.reached < request.end:
            part = _result(request, pages)
            return part._replace(failure=failure, reached=pages.reached, quarantined=(*part.quarantined, *quarantined))
        return FetchResult(request, failure=failure, final=self._gone, quarantined=quarantined)

    def _check(self, pages: Pages) -> None:
        arrived, traded = pages.arrived, self._ask.traded
        if arrived.empty and traded and not (arrived.rows or arrived.quarantined):
            raise BadResponse(f"an empty answer, though {pages.market} traded at {traded:%Y-%m-%dT%H:%M:%SZ}")

    def _unless_listed(self, error: UnknownMarket) -> ExchangeError:
        """An exchange in trouble forgets markets for a while."""
        try:
            if self._listing.has(self._ask.market):
                return BadResponse(f"{error}, though market/all lists it")
        except ExchangeError as other:
            return type(other)(f"{other}, and before: {error}") if not isinstance(other, Banned) else other
        self._gone = True
        return error


def _result(request: FetchRequest, pages: Pages) -> FetchResult:
    since, arrived = request.since or request.start, pages.arrived
    candles = [row.to_candle() for row in reversed(arrived.rows)]
    return FetchResult(
        request,
        candles=tuple(candle for candle in candles if candle.start >= request.start),
        before=tuple(candle for candle in candles if candle.start < request.start),
        holes=tuple(_holes(request, max(since, pages.reached), arrived)),
        quarantined=tuple(arrived.quarantined),
        added=frozenset(arrived.added),
        empty=arrived.empty,
    )


def _failure(error: ExchangeError) -> Failure:
    if isinstance(error, Banned):
        return Failure(HoleReason.BANNED, f"until {error.until:%Y-%m-%dT%H:%M:%SZ}")
    return Failure(_REASONS.get(type(error), HoleReason.BAD_ANSWER), str(error))


def _holes(request: FetchRequest, since: datetime, arrived: Arrived) -> Iterator[Span]:
    """Minutes whose row was refused (unless a good one came as well), or that the ticker knows of.

    Also of the minutes that are only read again: the lake may lack the very one (a late row that then came wrong).
    """
    there = {row.start for row in arrived.rows}
    for row in arrived.quarantined:
        start, end = max(row.start, since - request.overlap * MINUTE), min(row.end, request.end)
        if start < end and not (end - start == MINUTE and start in there):
            yield Span(request.market, start, end, "hole", HoleReason.QUARANTINED_ROW, row.reason)
    if request.traded is None:
        return
    either = {floor_minute(request.traded - BOUNDARY), floor_minute(request.traded + BOUNDARY)}
    minute = max(either)
    quarantined = any(row.start <= minute < row.end for row in arrived.quarantined)
    if since <= min(either) and minute < request.end and not quarantined and not either & there:
        detail = f"the ticker says {request.traded:%Y-%m-%dT%H:%M:%SZ}, but no candle came"
        yield Span(request.market, min(either), minute + MINUTE, "hole", HoleReason.LATE_ROW, detail)
