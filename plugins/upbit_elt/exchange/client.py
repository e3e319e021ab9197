"""The client of Upbit's quotation API (docs.upbit.com, API reference)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar, get_args

import requests
from pydantic import TypeAdapter, ValidationError
from requests.adapters import HTTPAdapter
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from upbit_elt.clock import Clock, SystemClock
from upbit_elt.errors import BadAnswer, Banned, InvalidRequest, RateLimited, ServerTrouble, Unreachable
from upbit_elt.exchange import models
from upbit_elt.exchange.answers import error_of, server_time
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
from upbit_elt.settings import Settings

MAX_COUNT = 200
T = TypeVar("T")
Params = dict[str, str | int]


class UpbitClient:
    """Typed answers; keep-alive; limits shared by all processes of the machine; retries of what may pass.

    Thread-safe. Every call raises ExchangeTerminal (asking again is useless) or, after `attempts` tries,
    ExchangeTransient. `to` is an aware datetime, exclusive, compared with the candle's start; None means now.
    Candles come newest first, at most 200, and an interval without a trade has no row.
    """

    def __init__(
        self,
        base_url: str,
        limits: AddressLimits,
        clock: Clock,
        *,
        timeout: float = 10.0,
        attempts: int = 4,
        session: requests.Session | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._limits, self._clock, self._timeout = limits, clock, timeout
        self._session = session or _keep_alive_session()
        self._server_time: datetime | None = None
        self._retrying = Retrying(
            retry=retry_if_exception_type((RateLimited, ServerTrouble, Unreachable)),
            stop=stop_after_attempt(attempts),
            wait=wait_exponential_jitter(multiplier=0.5, max=8),
            sleep=clock.sleep,
            reraise=True,
        )

    @classmethod
    def from_settings(cls, settings: Settings, clock: Clock | None = None) -> UpbitClient:
        """The client that the settings describe."""
        clock = clock or SystemClock()
        limits = AddressLimits(settings.state_dir, settings.requests_per_second, clock)
        return cls(settings.base_url, limits, clock, timeout=settings.request_timeout)

    @property
    def server_time(self) -> datetime:
        """The exchange's clock (UTC, whole seconds) as its last answer said. Raises BadAnswer before the first."""
        if self._server_time is None:
            raise BadAnswer("the exchange has not answered yet, so its time is not known")
        return self._server_time

    def markets(self, *, details: bool = False) -> list[Market]:
        """All pairs that are listed now."""
        return self._get("market", "/v1/market/all", {"is_details": str(details).lower()}, models.MARKETS)

    def tickers(self, quotes: Sequence[str]) -> list[Ticker]:
        """The latest state of all pairs of the quote currencies, in one request."""
        params: Params = {"quote_currencies": ",".join(quotes)}
        return self._get("ticker", "/v1/ticker/all", params, models.TICKERS)

    def seconds(self, market: str, *, to: datetime | None = None, count: int = MAX_COUNT) -> list[SecondCandle]:
        """Candles of one second; they reach back three months."""
        return self._candles("seconds", market, to, count, models.SECONDS)

    def minutes(
        self, market: str, unit: MinuteUnit = 1, *, to: datetime | None = None, count: int = MAX_COUNT
    ) -> list[MinuteCandle]:
        """Candles of `unit` minutes. The running one is among them as soon as it has a trade."""
        if unit not in get_args(MinuteUnit):
            raise InvalidRequest(f"unit={unit!r}: allowed are {', '.join(map(str, get_args(MinuteUnit)))}")
        return self._candles(f"minutes/{unit}", market, to, count, models.MINUTES)

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
        """Close the connections and the limiter's files."""
        self._session.close()
        self._limits.close()

    def _candles(
        self,
        kind: str,
        market: str,
        to: datetime | None,
        count: int,
        adapter: TypeAdapter[list[T]],
        more: Params | None = None,
    ) -> list[T]:
        if not market or "," in market or "-" not in market:
            raise InvalidRequest(f"market={market!r}: one pair is needed, like KRW-BTC")
        if not 1 <= count <= MAX_COUNT:
            # The exchange would cut a larger count to 200 without a word.
            raise InvalidRequest(f"count={count}: allowed are 1 to {MAX_COUNT}")
        params: Params = {"market": market, "count": count, **(more or {})}
        if to is not None:
            if to.tzinfo is None:
                raise InvalidRequest(f"to={to}: a time zone is needed")
            params["to"] = to.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        rows = self._get("candles", f"/v1/candles/{kind}", params, adapter)
        for row in rows:
            if getattr(row, "market", market) != market:
                raise BadAnswer(f"{kind} of {market}: a row of {getattr(row, 'market', None)} came back")
        return rows

    def _get(self, group: str, path: str, params: Params, adapter: TypeAdapter[list[T]]) -> list[T]:
        response = self._retrying(self._send, group, path, params)
        try:
            return adapter.validate_json(response.content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise BadAnswer(
                f"{response.url}: {error.error_count()} wrong values, first at {where}: {first['msg']}"
            ) from None

    def _send(self, group: str, path: str, params: Params) -> requests.Response:
        self._limits.acquire(group)
        try:
            response = self._session.get(f"{self.base_url}{path}", params=params, timeout=self._timeout)
        except requests.RequestException as error:
            raise Unreachable(f"{self.base_url}{path}: {type(error).__name__}: {error}") from error
        self._limits.obey(group, response.headers.get("Remaining-Req"))
        refusal = error_of(response, self._clock.now())
        if isinstance(refusal, Banned):
            self._limits.ban(refusal.until)
        if isinstance(refusal, RateLimited):
            self._limits.pause(group, 1.0)
        if refusal:
            raise refusal
        self._server_time = server_time(response)
        return response


def _keep_alive_session() -> requests.Session:
    session = requests.Session()
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=16)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.headers["Accept"] = "application/json"
    return session
