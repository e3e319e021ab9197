"""Fakes at the edge: what a `requests` session talks to instead of the network."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from tests.support.clock import ManualClock
from upbit_elt.candle import wire, wire_kst
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.limits import AddressLimits

Reply = tuple[int, bytes | str, Mapping[str, str]]
Handler = Callable[[str, dict[str, str]], Reply]

NOT_FOUND = '{"error":{"name":404,"message":"Code not found"}}'  # as the real one says of an unknown market


class HandlerAdapter(BaseAdapter):
    """Answers each request with `handler(path, query)`; raises what the handler raises."""

    def __init__(self, handler: Handler) -> None:
        super().__init__()
        self._handler = handler
        self.requests: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        self.requests.append(request)
        parts = urlsplit(str(request.url))
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        status, body, headers = self._handler(parts.path, query)
        response = requests.Response()
        response.status_code = status
        response.headers = CaseInsensitiveDict(headers)
        response.raw = io.BytesIO(body.encode() if isinstance(body, str) else body)
        response.url = str(request.url)
        response.request = request
        return response

    def close(self) -> None:
        """Nothing is open."""


class WsgiAdapter(HandlerAdapter):
    """Answers from a Flask app in this process."""

    def __init__(self, app: Any) -> None:
        self._client = app.test_client()
        super().__init__(self._reply)

    def _reply(self, path: str, query: dict[str, str]) -> Reply:
        got = self._client.get(path, query_string=query)
        return got.status_code, got.data, dict(got.headers)


class Exchange:
    """A client on a handler, with a clock that never makes anybody wait."""

    def __init__(self, folder: Path, now: datetime, handler: Handler) -> None:
        self.clock = ManualClock(now)
        self.adapter = HandlerAdapter(handler)
        self.limits = AddressLimits(folder, 10, self.clock)
        self.client = UpbitClient("http://exchange", self.limits, self.clock, session=session_on(self.adapter))

    @property
    def urls(self) -> list[str]:
        return [str(request.url) for request in self.adapter.requests]


def session_on(adapter: BaseAdapter) -> requests.Session:
    """A session that sends everything to the adapter."""
    session = requests.Session()
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def headers_at(moment: datetime, **more: str) -> dict[str, str]:
    """Headers of an answer given at `moment`."""
    date = format_datetime(moment, usegmt=True)
    return {"Date": date, "Remaining-Req": "group=candles; min=600; sec=9"} | more


def minute_row(market: str, start: datetime, price: float = 100.0, **changes: Any) -> dict[str, Any]:
    """A 1-minute candle as on the wire."""
    row = {
        "market": market,
        "candle_date_time_utc": wire(start),
        "candle_date_time_kst": wire_kst(start),
        "opening_price": price,
        "high_price": price + 1,
        "low_price": price - 1,
        "trade_price": price,
        "timestamp": int(start.timestamp() * 1000) + 59_000,
        "candle_acc_trade_price": price * 2,
        "candle_acc_trade_volume": 2.0,
        "unit": 1,
    }
    return row | changes
