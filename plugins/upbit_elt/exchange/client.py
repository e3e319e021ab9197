"""The client of Upbit's quotation API (docs.upbit.com, API reference)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, get_args

import requests
from pydantic import BaseModel, TypeAdapter, ValidationError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)
from tenacity.stop import stop_base

from upbit_elt.clock import Deadline, MachineClock, SystemClock
from upbit_elt.errors import (
    BadResponse,
    Banned,
    Garbled,
    InvalidRequest,
    OutOfTime,
    RateLimited,
    ServerTrouble,
    Unreachable,
)
from upbit_elt.exchange import models
from upbit_elt.exchange.limits import AddressLimits
from upbit_elt.exchange.models import (
    DayCandle,
    Market,
    MinuteCandle,
    MinuteUnit,
    PeriodCandle,
    SecondCandle,
    Ticker,
)
from upbit_elt.exchange.responses import body_of, error_of, server_time
from upbit_elt.exchange.validation import Page, validate_page
from upbit_elt.exchange.words import excerpt, printable
from upbit_elt.http_timeout import keep_alive_session
from upbit_elt.metrics import REQUEST_SECONDS, measured
from upbit_elt.settings import REPLICAS, Settings

MAX_COUNT = 200
# The newest responses whose clocks are compared, so that a single one that runs ahead closes no minute.
CLOCKS, FEW_CLOCKS = 64, 2
# With less time left than this (seconds) no request is sent.
LEAST_TIME = 0.5
# When two clocks differ more than by any time zone, one of them is wrong, and the response's is not used.
APART = timedelta(days=1)
# A ticker's last trade may lie this much after the exchange's time as we know it.
TICKER_AHEAD = timedelta(minutes=1)
T = TypeVar("T")
R = TypeVar("R", bound=BaseModel)
log = logging.getLogger(__name__)
Params = dict[str, str | int]


class UpbitClient:
    """Sends requests and returns typed rows; keeps connections alive, obeys the address's limits, and retries.

    It is thread-safe. Every call raises ExchangeTerminal when a retry would be useless, or ExchangeTransient after
    `attempts` tries. A try takes `timeout` seconds at most, from the last byte sent to the last byte received.
    `to` is an aware datetime, exclusive, compared with the candle's start; None means now.
    Candles come newest first, at most 200, and an interval without a trade has no row.
    """

    def __init__(
        self,
        base_url: str,
        limits: AddressLimits,
        clock: MachineClock,
        *,
        timeout: float = 10.0,
        attempts: int = 4,
        session: requests.Session | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._limits, self._clock, self._timeout = limits, clock, timeout
        self._session = session or keep_alive_session(clock.monotonic)
        # When this machine was started, by the exchange's clock, newest response last; it does not change when this
        # machine's clock is set.
        self._started: deque[datetime] = deque(maxlen=CLOCKS)
        self._clock_trouble = "it has not answered yet"
        self._attempts, self._deadline = attempts, Deadline(clock, float("inf"))

    @classmethod
    def from_settings(cls, settings: Settings, clock: MachineClock | None = None) -> UpbitClient:
        """The client that the settings describe."""
        clock = clock or SystemClock()
        limits = AddressLimits(settings.state_dir, settings.requests_per_second, clock)
        session = keep_alive_session(clock.monotonic, direct=settings.dataset.startswith(REPLICAS))
        return cls(settings.base_url, limits, clock, timeout=settings.request_timeout, session=session)

    def within(self, deadline: Deadline, attempts: int) -> UpbitClient:
        """A client with the same connections, limits and exchange's clock, but a deadline and other `attempts`.

        It raises OutOfTime instead of sending a request that cannot be answered before the deadline, and when a
        response does not come before it.
        """
        hurried = copy(self)
        hurried._attempts, hurried._deadline = attempts, deadline
        return hurried

    @property
    def clock(self) -> MachineClock:
        """The machine's clock, by which it waits."""
        return self._clock

    @property
    def server_time(self) -> datetime:
        """The exchange's time (UTC), by the earlier one of its last two responses. Raises BadResponse before the first.

        `Date` is cut to whole seconds and a response takes time, so that this is never ahead of the exchange's clock,
        unless both responses are wrong (see `usual_server_time`).
        """
        return self._time(min(self._clocks()[-FEW_CLOCKS:]))

    @property
    def usual_server_time(self) -> datetime:
        """The exchange's time (UTC), by the median of its last responses. Raises BadResponse before the first."""
        clocks = sorted(self._clocks())
        return self._time(clocks[(len(clocks) - 1) // 2])

    def _time(self, started: datetime) -> datetime:
        """Now, by a clock that was at `started` (UTC) when this machine was started."""
        return started + timedelta(seconds=self._clock.since_boot())

    def markets(self, *, details: bool = False) -> list[Market]:
        """All markets that are listed now, each once. A row that cannot be read is logged and left out."""
        rows = self._listing("market", "/v1/market/all", {"is_details": str(details).lower()}, Market)
        found: dict[str, Market] = {}
        for row in rows:
            found.setdefault(row.market, row)
        return list(found.values())

    def tickers(self, quotes: Sequence[str]) -> list[Ticker]:
        """The tickers of all markets of the quote currencies, in one request.

        Rows that cannot be read are logged and left out, and so are rows whose last trade lies in the future.
        """
        rows = self._listing("ticker", "/v1/ticker/all", {"quote_currencies": ",".join(quotes)}, Ticker)
        latest = self.server_time + TICKER_AHEAD
        if ahead := [row for row in rows if row.traded > latest]:
            log.warning("ticker/all: %d rows have a time in the future, first: %s", len(ahead), ahead[0])
        return [row for row in rows if row.traded <= latest]

    def seconds(self, market: str, *, to: datetime | None = None, count: int = MAX_COUNT) -> list[SecondCandle]:
        """Candles of one second; the exchange has those of the last three months."""
        return self._candles("seconds", market, to, count, models.SECONDS)

    def minutes(
        self, market: str, unit: MinuteUnit = 1, *, to: datetime | None = None, count: int = MAX_COUNT
    ) -> list[MinuteCandle]:
        """Candles of `unit` minutes; the one still open is among them as soon as it has a trade."""
        page = self.minute_page(market, unit, to=to, count=count)
        if wrong := [*page.quarantined, *page.trailing]:
            raise BadResponse(f"minutes/{unit} of {market}: {len(wrong)} wrong rows, first: {wrong[0].reason}")
        return list(page.rows)

    def minute_page(
        self, market: str, unit: MinuteUnit = 1, *, to: datetime | None = None, count: int = MAX_COUNT
    ) -> Page:
        """Candles of `unit` minutes, each row validated: the valid ones, and the quarantined ones with their reason."""
        if unit not in get_args(MinuteUnit):
            raise InvalidRequest(f"unit={unit!r}: allowed are {', '.join(map(str, get_args(MinuteUnit)))}")
        rows = self._get("candles", f"/v1/candles/minutes/{unit}", _candle_params(market, to, count), models.ANYTHING)
        return validate_page(rows, market, unit, to or self.usual_server_time + timedelta(minutes=1))

    def days(
        self,
        market: str,
        *,
        to: datetime | None = None,
        count: int = MAX_COUNT,
        converting_price_unit: str | None = None,
    ) -> list[DayCandle]:
        """UTC days; with `converting_price_unit="KRW"` also the close in KRW."""
        more: Params = {"converting_price_unit": converting_price_unit} if converting_price_unit else {}
        return self._candles("days", market, to, count, models.DAYS, more)

    def weeks(self, market: str, *, to: datetime | None = None, count: int = MAX_COUNT) -> list[PeriodCandle]:
        """Weeks from Monday, UTC."""
        return self._candles("weeks", market, to, count, models.PERIODS)

    def months(self, market: str, *, to: datetime | None = None, count: int = MAX_COUNT) -> list[PeriodCandle]:
        """Calendar months, UTC."""
        return self._candles("months", market, to, count, models.PERIODS)

    def years(self, market: str, *, to: datetime | None = None, count: int = MAX_COUNT) -> list[PeriodCandle]:
        """Calendar years, UTC."""
        return self._candles("years", market, to, count, models.PERIODS)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _candles(
        self,
        kind: str,
        market: str,
        to: datetime | None,
        count: int,
        adapter: TypeAdapter[list[T]],
        more: Params | None = None,
    ) -> list[T]:
        params = _candle_params(market, to, count) | (more or {})
        rows = self._get("candles", f"/v1/candles/{kind}", params, adapter)
        for row in rows:
            if getattr(row, "market", market) != market:
                raise BadResponse(f"{kind} of {market}: a row of {excerpt(getattr(row, 'market', None))} came back")
        return rows

    def _get(self, group: str, path: str, params: Params, adapter: TypeAdapter[list[T]]) -> list[T]:
        body = self._retrying()(self._send, group, path, params)
        try:
            return adapter.validate_python(body)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise BadResponse(
                f"{path} of {params}: {error.error_count()} wrong values, first at {where}: {first['msg']}"
            ) from None

    def _listing(self, group: str, path: str, params: Params, model: type[R]) -> list[R]:
        """Rows that are validated one by one, so that a wrong one affects no other market."""
        rows, wrong = [], []
        for raw in self._get(group, path, params, models.ANYTHING):
            try:
                rows.append(model.model_validate(raw))
            except ValidationError as error:
                wrong.append(f"{excerpt(raw, 200)}: {error.errors()[0]['msg']}")
        if wrong:
            log.warning("%s: %d rows cannot be read and are left out, first: %s", path, len(wrong), wrong[0])
        return rows

    def _clocks(self) -> list[datetime]:
        if not self._started:
            raise BadResponse(f"the exchange's time is not known: {self._clock_trouble}")
        return list(self._started)

    def _retrying(self) -> Retrying:
        return Retrying(
            retry=retry_if_exception_type((RateLimited, ServerTrouble, Garbled, Unreachable)),
            stop=stop_after_attempt(self._attempts) | _OutOfTime(self._deadline),
            wait=wait_exponential_jitter(multiplier=0.5, max=8),
            sleep=self._clock.sleep,
            reraise=True,
        )

    def _send(self, group: str, path: str, params: Params) -> Any:
        probing = self._limits.acquire(group, self._deadline)
        timeout = min(self._timeout, self._deadline.left)
        if timeout < LEAST_TIME:
            raise OutOfTime(f"{self.base_url}{path}: not requested, there was no time left")
        with measured(REQUEST_SECONDS, group=group):
            response = self._send_once(group, path, params, timeout)
            if probing:
                self._limits.lift_ban()
            self._compare_clocks(response)
            return body_of(response)

    def _send_once(self, group: str, path: str, params: Params, timeout: float) -> requests.Response:
        """Send a request once and return the response with status 200; obeys the limits that any response names."""
        try:
            response = self._session.get(
                f"{self.base_url}{path}", params=params, timeout=timeout, hooks={"response": _follow_no_redirect}
            )
        except requests.RequestException as error:
            if self._deadline.left < LEAST_TIME:
                raise OutOfTime(f"{self.base_url}{path}: no answer in the {timeout:.1f} s that were left") from error
            raise Unreachable(f"{self.base_url}{path}: {type(error).__name__}: {printable(str(error))}") from error
        self._limits.obey(group, response.headers.get("Remaining-Req"))
        failure = error_of(response, self._clock.now())
        if isinstance(failure, Banned):
            self._limits.ban(failure.until)
        if isinstance(failure, RateLimited):
            self._limits.pause(group, 1.0)
        if failure:
            raise failure
        return response

    def _compare_clocks(self, response: requests.Response) -> None:
        theirs, ours = server_time(response), self._clock.now()
        if theirs is not None and abs(theirs - ours) < APART:
            self._started.append(theirs - timedelta(seconds=self._clock.since_boot()))
        else:
            date = excerpt(response.headers.get("Date"))
            self._clock_trouble = (
                f"{response.url} says Date {date}, this machine's clock {ours:%Y-%m-%dT%H:%M:%SZ}; more than a day "
                "apart, or unreadable, so that neither is believed. Set the clock if it is wrong (./run doctor)"
            )
            log.warning("%s", self._clock_trouble)


class _OutOfTime(stop_base):
    """Ends the retries when the deadline comes before the next try."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def __call__(self, retry_state: RetryCallState) -> bool:
        return retry_state.upcoming_sleep >= self._deadline.left


def _candle_params(market: str, to: datetime | None, count: int) -> Params:
    if not market or "," in market or "-" not in market:
        raise InvalidRequest(f"market={market!r}: one pair is needed, like KRW-BTC")
    if not 1 <= count <= MAX_COUNT:
        # The exchange would silently cut a larger count to 200.
        raise InvalidRequest(f"count={count}: allowed are 1 to {MAX_COUNT}")
    params: Params = {"market": market, "count": count}
    if to is not None:
        if to.tzinfo is None:
            raise InvalidRequest(f"to={to}: a time zone is needed")
        params["to"] = to.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return params


def _follow_no_redirect(response: requests.Response, *_: Any, **__: Any) -> None:
    """Drop the target of a redirect: the API sends none, so that another server would answer there."""
    response.headers.pop("Location", None)
