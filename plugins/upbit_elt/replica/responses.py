"""The endpoints' responses as plain Python values, with Upbit's parameters and errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from upbit_elt.replica import noise, query, wire
from upbit_elt.replica.bars import DAY, Bars
from upbit_elt.replica.limits import Clock
from upbit_elt.replica.query import ApiError
from upbit_elt.replica.source import QUOTES, Market, Source
from upbit_elt.replica.tape import Period, Tape
from upbit_elt.replica.ticker import ticker
from upbit_elt.replica.wire import Row

Query = Mapping[str, str]
_PERIODS: tuple[Period, ...] = ("weeks", "months", "years")
_CAUTIONS = (
    "PRICE_FLUCTUATIONS",
    "TRADING_VOLUME_SOARING",
    "DEPOSIT_AMOUNT_SOARING",
    "GLOBAL_PRICE_DIFFERENCES",
    "CONCENTRATION_OF_SMALL_ACCOUNTS",
)


class Responses:
    """The endpoints over one source. Every method raises ApiError where Upbit answers with 400 or 404."""

    def __init__(self, source: Source, clock: Clock) -> None:
        self._tape, self._clock = Tape(source), clock

    def routes(self) -> dict[str, Callable[..., list[Row]]]:
        """Handlers by path below /v1, each called with the query and the path's own parts."""
        return {
            "/market/all": self.market_all,
            "/ticker": self.tickers,
            "/ticker/all": self.ticker_all,
            "/candles/seconds": self.seconds,
            "/candles/minutes/<unit>": self.minutes,
            "/candles/days": self.days,
            **{f"/candles/{period}": partial(self.periods, period=period) for period in _PERIODS},
        }

    def market_all(self, args: Query) -> list[Row]:
        """All listed markets, in no particular order; with `is_details` also their warnings."""
        details = query.boolean(args, "is_details", "isDetails")
        listed = self._tape.markets(self._now())
        listed.sort(key=lambda market: noise.key("order", market.code))
        return [_market(market, details) for market in listed]

    def tickers(self, args: Query) -> list[Row]:
        """Tickers of the markets named in `markets`."""
        codes = [code.strip() for code in query.required(args, "markets").split(",")]
        return self._tickers([self._listed(code) for code in codes])

    def ticker_all(self, args: Query) -> list[Row]:
        """Tickers of all markets of the quote currencies named in `quote_currencies`."""
        quotes = {quote.strip() for quote in query.required(args, "quote_currencies").split(",")}
        if not quotes <= set(QUOTES):
            raise ApiError.invalid()
        return self._tickers([m.code for m in self._tape.markets(self._now()) if m.quote in quotes])

    def seconds(self, args: Query) -> list[Row]:
        """Second candles."""
        market, now = self._market(args), self._now()
        bars = self._tape.seconds(market, query.before(args, now), query.count(args), now)
        return wire.rows(market, bars)

    def minutes(self, args: Query, unit: str) -> list[Row]:
        """Candles of `unit` minutes."""
        width = query.unit(unit)
        market, now = self._market(args), self._now()
        bars = self._tape.minutes(market, width, query.before(args, now), query.count(args), now)
        return wire.minute_rows(market, bars, width)

    def days(self, args: Query) -> list[Row]:
        """Day candles with the change since the day before; `converting_price_unit=KRW` adds the close in KRW."""
        market, now, wanted = self._market(args), self._now(), query.count(args)
        before, convert = query.before(args, now), query.converting(args)
        bars = self._tape.periods(market, "days", before, wanted + 1, now)
        previous = np.concatenate([bars.open[:1], bars.close[:-1]])  # the very first day has none before
        last_rows = slice(-wanted, None)
        page = bars.take(last_rows)
        converted = self._in_krw(market, page, now) if convert else None
        return wire.day_rows(market, page, previous[last_rows], converted)

    def periods(self, args: Query, period: Period) -> list[Row]:
        """Week, month or year candles."""
        market, now = self._market(args), self._now()
        bars = self._tape.periods(market, period, query.before(args, now), query.count(args), now)
        return wire.period_rows(market, bars)

    def _in_krw(self, market: str, bars: Bars, now: float) -> list[float | None]:
        """Closes converted to KRW by the quote coin's close of the day; None where there is no KRW market of it."""
        rate_market = f"KRW-{market.partition('-')[0]}"
        if not len(bars) or not self._tape.is_listed(rate_market, now):
            return [None] * len(bars)
        span = int(bars.start[-1] - bars.start[0]) // DAY + 1
        rates = self._tape.periods(rate_market, "days", int(bars.start[-1]) + 1, span, now)
        by_day = dict(zip(rates.start.tolist(), rates.close.tolist(), strict=True))
        closes = zip(bars.start.tolist(), bars.close.tolist(), strict=True)
        return [close * by_day[day] if day in by_day else None for day, close in closes]

    def _tickers(self, codes: list[str]) -> list[Row]:
        now = self._now()
        return [row for code in codes if (row := ticker(self._tape, code, now)) is not None]

    def _market(self, args: Query) -> str:
        return self._listed(query.required(args, "market"))

    def _listed(self, code: str) -> str:
        if not self._tape.is_listed(code, self._now()):
            raise ApiError.unknown()
        return code

    def _now(self) -> float:
        return self._clock().timestamp()


def _market(market: Market, details: bool) -> Row:
    row: Row = {
        "market": market.code,
        "korean_name": market.korean_name,
        "english_name": market.english_name,
    }
    if details:
        caution = {name: noise.key(name, market.code) % 50 == 0 for name in _CAUTIONS}
        row["market_event"] = {"warning": noise.key("warning", market.code) % 50 == 0, "caution": caution}
    return row
