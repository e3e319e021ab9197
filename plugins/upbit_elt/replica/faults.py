"""Injects faults of an exchange between a replica and its clients: seeded, counted, switched on and off.

A random draw depends on the seed, the kind of fault, the request's address and how often it was requested, never on
the order in which threads arrive; storms, bans and late minutes depend on the exchange's clock. So a seed makes a run
repeatable.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask
from werkzeug import Request, Response
from werkzeug.http import http_date

from upbit_elt.replica.bad_rows import BAD_ROWS
from upbit_elt.replica.limits import Clock
from upbit_elt.replica.outage import HANGS, TEXT, Outage, Outages

KINDS = {
    "storm": "429 to everything for some tries, by the minute",
    "ban": "418 to everything for 1 to 3 minutes",
    "error": "500, 502, 503 or 504",
    "hang": "no response for longer than any client waits",
    "cut": "the body ends before it should",
    "garbage": "200 with a body that is no JSON",
    "html": "200 with a page of a proxy",
    "empty": "200 with an empty list, up to three times in a row",
    "slow": "a response that takes seconds",
    "skew": "a Date that is off by up to 90 s",
    "late": "a closed minute, and what follows it, appears 1 to 4 minutes late",
    "stale": "ticker/all as it was before",
    "bad": "one row of a response with candles is invalid",
}
HANG, SLOW, SKEW, LATE = 60.0, 4.0, 90.0, 240.0  # seconds, the longest
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_NEVER: Sequence[Outage] = ()
_HTML = "<html><head><title>Service check</title></head><body>점검 중입니다</body></html>"


@dataclass
class Faults:
    """A WSGI layer that injects faults into the responses of `inner`.

    `rates` (0 to 1 by kind, see KINDS) may be changed while it runs; `injected` counts faults by kind. Faults end at
    `until` (UTC). `outages` is called at each request and gives the endpoints that hang or fail now. `listed` and
    `delisted` say when (UTC) a market is listed and delisted; outside of that time it is unknown.
    """

    inner: Callable[..., Iterable[bytes]]
    clock: Clock
    seed: int
    rates: Mapping[str, float]
    pause: Callable[[float], object] = time.sleep
    until: datetime | None = None
    outages: Outages = lambda: _NEVER
    listed: Mapping[str, datetime] = field(default_factory=dict)
    delisted: Mapping[str, datetime] = field(default_factory=dict)
    injected: Counter[str] = field(default_factory=Counter)
    _tries: Counter[str] = field(default_factory=Counter)
    _late: set[tuple[str, str]] = field(default_factory=set)
    _banned_until: datetime = _LONG_AGO
    _tickers: dict[str, bytes] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, perhaps with a fault."""
        request = Request(environ)
        with self._lock:
            self._tries[request.full_path] += 1
            key, tried = request.full_path, self._tries[request.full_path]
        response = self._outage(request) or self._rejection(key, tried) or self._answered(environ, request, key, tried)
        return response(environ, start_response)

    def draw(self, *key: object) -> float:
        """A number in [0, 1) that depends on the seed and the key alone."""
        text = "|".join(map(str, (self.seed, *key)))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big") / 2**48

    def _rate(self, kind: str) -> float:
        return 0.0 if self.until and self.clock() >= self.until else self.rates.get(kind, 0.0)

    def _hit(self, kind: str, *key: object) -> bool:
        if self.draw(kind, *key) >= self._rate(kind):
            return False
        with self._lock:
            self.injected[kind] += 1
        return True

    def _outages(self, request: Request) -> list[Outage]:
        """Those that a request meets."""
        market = request.args.get("market", "")
        return [
            outage
            for outage in self.outages()
            if (market == outage.market if outage.market else self.draw("outage", market) < outage.share)
            and request.path.startswith(f"/v1/{outage.endpoint}")
        ]

    def _outage(self, request: Request) -> Response | None:
        for outage in self._outages(request):
            self._count(f"outage: {outage.endpoint}")
            if outage.status == TEXT:  # it answers
                continue
            if outage.status == HANGS:
                self.pause(HANG)
            return Response(_HTML, outage.status or 504)
        return None

    def _rejection(self, key: str, tried: int) -> Response | None:
        now = self.clock()
        minute = f"{now:%Y%m%d%H%M}"
        if now < self._banned_until:
            return self._ban(now)
        if tried <= 1 + 5 * self.draw("storm tries", minute) and self._hit("storm", minute):
            return Response("Too many API requests.", 429, content_type="text/plain")
        if self._hit("ban", key, tried):
            self._banned_until = now + timedelta(seconds=60 + 120 * self.draw("ban length", key, tried))
            return self._ban(now)
        if self._hit("error", key, tried):
            status = (500, 502, 503, 504)[int(4 * self.draw("status", key, tried))]
            return Response(_HTML if status > 500 else "oops", status)
        return None

    def _ban(self, now: datetime) -> Response:
        seconds = int((self._banned_until - now).total_seconds()) + 1
        error = {"error": {"name": 418, "message": f"This IP is blocked for {seconds} seconds."}}
        return Response(json.dumps(error), 418, content_type="application/json")

    def _answered(self, environ: WSGIEnvironment, request: Request, key: str, tried: int) -> Response:
        environ.pop("HTTP_ACCEPT_ENCODING", None)  # faults change the body, so it must not be compressed
        response = Response.from_app(self.inner, environ, buffered=True)
        if response.status_code != 200:
            return response
        body = response.get_data()
        if request.path.startswith("/v1/ticker"):
            body = self._ticker(body, key, tried)
        response.set_data(self._rows(body, request, key, tried))
        if market := request.args.get("market"):
            response = self._unless_gone(response, market)
        return self._wire(response, key, tried)

    def _ticker(self, body: bytes, key: str, tried: int) -> bytes:
        if key in self._tickers and self._hit("stale", key, tried):
            return self._tickers[key]
        self._tickers[key] = body
        return body

    def _rows(self, body: bytes, request: Request, key: str, tried: int) -> bytes:
        rows: list[Any] = json.loads(body)
        if request.path.startswith("/v1/candles/minutes"):
            if self.draw("empty", key) < self._rate("empty") and tried <= 1 + 3 * self.draw("in a row", key):
                self._count("empty")
                return b"[]"
            late = [row["candle_date_time_utc"] for row in rows[:5] if self._is_late(row)]
            rows = [row for row in rows if not late or row["candle_date_time_utc"] < min(late)]
            rows = self._spoilt(rows, key, tried)
            if any(outage.status == TEXT for outage in self._outages(request)):
                rows[:1] = [row | {"trade_price": str(row["trade_price"])} for row in rows[:1]]
        return json.dumps([row for row in rows if not self._hidden(row)], ensure_ascii=False).encode()

    def _count(self, kind: str) -> None:
        with self._lock:
            self.injected[kind] += 1

    def _is_late(self, row: dict[str, Any]) -> bool:
        """Whether a minute is one of those that appear late, and must not appear yet."""
        market, start = row["market"], row["candle_date_time_utc"]
        if self.draw("late", market, start) >= self._rate("late"):
            return False
        closed = datetime.fromisoformat(f"{start}Z") + timedelta(minutes=1)
        wait = timedelta(seconds=60 + (LATE - 60) * self.draw("lateness", market, start))
        if not closed <= self.clock() < closed + wait:
            return False
        with self._lock:
            self.injected["late"] += (market, start) not in self._late
            self._late.add((market, start))
        return True

    def _spoilt(self, rows: list[Any], key: str, tried: int) -> list[Any]:
        if not rows or not self._hit("bad", key, tried):
            return rows
        name = list(BAD_ROWS)[int(len(BAD_ROWS) * self.draw("how", key, tried))]
        self._count(f"bad: {name}")
        place = int(len(rows) * self.draw("which", key, tried) ** 3)  # mostly one of the newest
        return [*rows[:place], *BAD_ROWS[name](rows[place]), *rows[place + 1 :]]

    def _hidden(self, row: Any) -> bool:
        """Whether a row's market is not listed now, or was not listed at the row's time."""
        market = str(row.get("market")) if isinstance(row, dict) else ""
        if market not in self.listed and market not in self.delisted:
            return False
        listed = self.listed.get(market)
        begun = row.get("candle_date_time_utc")
        early = listed and begun and datetime.fromisoformat(f"{begun}Z") < listed
        return bool(early) or self._gone(market)

    def _gone(self, market: str) -> bool:
        now = self.clock()
        return now < self.listed.get(market, now) or now >= self.delisted.get(market, now + timedelta(1))

    def _unless_gone(self, response: Response, market: str) -> Response:
        if not self._gone(market):
            return response
        error = {"error": {"name": 404, "message": "Code not found"}}
        return Response(
            json.dumps(error), 404, content_type="application/json", headers={"Date": http_date(self.clock())}
        )

    def _wire(self, response: Response, key: str, tried: int) -> Response:
        """Apply the faults that happen on the way to the client."""
        if self._hit("skew", key, tried):
            off = timedelta(seconds=SKEW * (2 * self.draw("by", key, tried) - 1))
            response.headers["Date"] = http_date(self.clock() + off)
        if self._hit("html", key, tried):
            response.set_data(_HTML)
            response.content_type = "text/html"
        elif self._hit("garbage", key, tried):
            response.set_data(response.get_data()[:-1] + b",,")
        elif len(response.get_data()) > 2 and self._hit("cut", key, tried):
            declared = response.headers["Content-Length"]
            response.set_data(response.get_data()[: len(response.get_data()) // 2])
            response.headers["Content-Length"] = declared
        if self._hit("hang", key, tried):
            self.pause(HANG)
        elif self._hit("slow", key, tried):
            self.pause(SLOW * self.draw("how slow", key, tried))
        return response


def inject(app: Flask, clock: Clock, seed: int, rates: Mapping[str, float], **more: Any) -> Faults:
    """Inject faults between a replica and its clients from now on; see Faults for `more`."""
    faults = Faults(app.wsgi_app, clock, seed, rates, **more)
    app.wsgi_app = faults  # type: ignore[method-assign]
    return faults


def parse_rates(text: str) -> dict[str, float]:
    """Parse rates such as `storm=0.01,bad=0.02`; `all` sets every kind, the default rate is 0.01. Raises ValueError."""
    rates: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        rate = float(value or 0.01)
        if name == "all":
            rates |= dict.fromkeys(KINDS, rate)
        elif name in KINDS and 0 <= rate <= 1:
            rates[name] = rate
        else:
            raise ValueError(f"{part!r}: write KIND=RATE with a rate from 0 to 1 and a kind of {', '.join(KINDS)}, all")
    return rates
