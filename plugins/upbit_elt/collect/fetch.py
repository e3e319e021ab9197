"""Fetch many spans of candles from the exchange at once; a market that fails delays no other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import NamedTuple

from upbit_elt.candle import MINUTE, Candle, floor_minute, minute_count
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
from upbit_elt.intervals import Interval, contains, gaps, intersection
from upbit_elt.lake.coverage import Span, clip

# Upbit may count a trade this close to a minute's boundary to either minute.
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
    """Why a request failed; `detail` is for people."""

    reason: HoleReason
    detail: str

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.detail}"


class FetchResult(NamedTuple):
    """What a request brought: the candles of its span and of the minutes `before` it, or the `failure`.

    With a `failure` no minute before `reached` (UTC) is known; there may be candles from `reached` on.
    `holes` are the minutes whose row is quarantined or late, also minutes before the span that were read again.
    `quarantined` are those rows, `added` the names of fields that this release does not know.
    `nothing_older`: the exchange says that the market has no older candle than these.
    `delisted`: the exchange neither knows nor lists the market, so another request would fail too.
    """

    request: FetchRequest
    candles: tuple[Candle, ...] = ()
    before: tuple[Candle, ...] = ()
    failure: Failure | None = None
    delisted: bool = False
    holes: tuple[Span, ...] = ()
    quarantined: tuple[QuarantinedRow, ...] = ()
    added: frozenset[str] = frozenset()
    nothing_older: bool = False
    reached: datetime | None = None

    @property
    def trouble(self) -> str:
        """Why not every minute of the span is known; "" when all are."""
        return str(self.failure) if self.failure else self.holes[0].why if self.holes else ""

    def arrived_part(self) -> FetchResult:
        """The result of the newest minutes alone, without the failure, when only those came; else this result."""
        if self.reached is None:
            return self
        return self._replace(request=self.request._replace(start=self.reached), failure=None, reached=None)

    def spans(self) -> list[Span]:
        """How the minutes of the request's span are accounted for."""
        market, start, end = self.request[:3]
        holes = list(clip(self.holes, start, end))
        if self.failure:
            holes.append(Span(market, start, self.reached or end, "hole", *self.failure))
        return [*(Span(market, *piece, "asked") for piece in gaps(holes, start, end)), *holes]


@dataclass(frozen=True)
class Budget:
    """How long a fetch may take, and which markets come last: those that failed in the run before.

    With `allow_partial` the result of a market has the newest pages when only those came in time; else it has none.
    """

    deadline: Deadline
    last: Collection[str] = ()
    allow_partial: bool = False


def fetch(
    client: UpbitClient,
    requests: Iterable[FetchRequest],
    *,
    workers: int,
    tick: Callable[[], None],
    unit: MinuteUnit = 1,
    budget: Budget | None = None,
) -> Iterator[FetchResult]:
    """Yield the results (candles of `unit` minutes) in the order they arrive; `tick` is called every few seconds.

    A failed request is a FetchResult with its failure. Each market is requested once before a failed one is tried
    again, and an endpoint that is down gets only probes (see Dispatcher). After a ban, or when the `budget` is used up,
    all remaining requests fail without being sent.
    """
    budget = budget or Budget(Deadline(client.clock, float("inf")))
    hurried = client.within(budget.deadline, attempts=1)
    listing = _Listing(hurried)
    jobs = [_Job(hurried, listing, request, unit, suspect=request.market in budget.last) for request in requests]
    for job in Dispatcher(client.clock, jobs, workers, budget.deadline).run(tick):
        yield job.result(allow_partial=budget.allow_partial)


class _Listing:
    """The markets that the exchange lists, requested once: only market/all decides that a market is delisted."""

    def __init__(self, client: UpbitClient) -> None:
        self._client = client
        self._markets: frozenset[str] | None = None
        self._lock = Lock()

    def has(self, market: str) -> bool:
        """Whether a market is listed. Raises ExchangeError when market/all fails."""
        with self._lock:
            if self._markets is None:
                self._markets = frozenset(row.market for row in self._client.markets())
            return market in self._markets


class _Job:
    """One FetchRequest that is carried out page by page."""

    def __init__(
        self, client: UpbitClient, listing: _Listing, request: FetchRequest, unit: MinuteUnit, *, suspect: bool
    ) -> None:
        self._client, self._listing, self._request = client, listing, request
        self._pages = Pages.of(
            request.market, request.since or request.start, request.end, overlap=request.overlap, unit=unit
        )
        self.suspect = suspect
        self.error: ExchangeError | None = None
        self._delisted = False

    @property
    def done(self) -> bool:
        """Whether every page has arrived."""
        return self._pages.done

    def step(self) -> None:
        """Request the next page; a failure becomes `error`."""
        try:
            pages = self._pages.request(self._client)
            self._check(pages)
            self._pages = pages
        except UnknownMarket as error:
            self.error = self._unless_listed(error)
        except ExchangeError as error:
            self.error = error

    def result(self, *, allow_partial: bool) -> FetchResult:
        """The pages that came, or the failure; `allow_partial` as in Budget."""
        request, pages, error = self._request, self._pages, self.error
        if pages.done:
            return _result(request, pages)
        failure = _failure(error or OutOfTime("no answer in time"))
        quarantined = error.quarantined if isinstance(error, UnusablePage) else ()
        if allow_partial and request.start < pages.reached < request.end:
            part = _result(request, pages)
            return part._replace(failure=failure, reached=pages.reached, quarantined=(*part.quarantined, *quarantined))
        return FetchResult(request, failure=failure, delisted=self._delisted, quarantined=quarantined)

    def _check(self, pages: Pages) -> None:
        arrived, traded = pages.arrived, self._request.traded
        if arrived.nothing_older and traded and not (arrived.rows or arrived.quarantined):
            raise BadResponse(f"an empty response, though {pages.market} traded at {traded:%Y-%m-%dT%H:%M:%SZ}")

    def _unless_listed(self, error: UnknownMarket) -> ExchangeError:
        """The error to report: an exchange in trouble may deny a market for a while that market/all still lists."""
        try:
            if self._listing.has(self._request.market):
                return BadResponse(f"{error}, though market/all lists it")
        except ExchangeError as other:
            return type(other)(f"{other}, and before: {error}") if not isinstance(other, Banned) else other
        self._delisted = True
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
        nothing_older=arrived.nothing_older,
    )


def _failure(error: ExchangeError) -> Failure:
    if isinstance(error, Banned):
        return Failure(HoleReason.BANNED, f"until {error.until:%Y-%m-%dT%H:%M:%SZ}")
    return Failure(_REASONS.get(type(error), HoleReason.BAD_RESPONSE), str(error))


def _holes(request: FetchRequest, since: datetime, arrived: Arrived) -> Iterator[Span]:
    """Yield the minutes whose row is quarantined (unless a valid one came too), or whose trade only the ticker shows.

    Minutes before the span that were read again count too: the lake may lack just those.
    """
    arrived_minutes = {row.start for row in arrived.rows}
    reread = Interval(since - request.overlap * MINUTE, request.end)
    for row in arrived.quarantined:
        part = intersection(row, reread)
        if part and not (minute_count(part) == 1 and part.start in arrived_minutes):
            yield Span(request.market, *part, "hole", HoleReason.QUARANTINED_ROW, row.reason)
    if request.traded is None:
        return
    either = {floor_minute(request.traded - BOUNDARY), floor_minute(request.traded + BOUNDARY)}
    minute = max(either)
    quarantined = any(contains(row, minute) for row in arrived.quarantined)
    if since <= min(either) and minute < request.end and not quarantined and not either & arrived_minutes:
        detail = f"the ticker says {request.traded:%Y-%m-%dT%H:%M:%SZ}, but no candle came"
        yield Span(request.market, min(either), minute + MINUTE, "hole", HoleReason.LATE_ROW, detail)
