"""From an HTTP answer to a typed error: Upbit speaks JSON, plain text or HTML when it refuses."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

import requests

from upbit_elt.errors import (
    BadAnswer,
    Banned,
    ExchangeError,
    InvalidRequest,
    RateLimited,
    ServerTrouble,
    UnknownMarket,
)

# Nobody has published the body of a 418; where it names no time we keep away this long.
UNKNOWN_BAN = timedelta(minutes=5)
_DURATION = re.compile(r"(\d+)\s*(second|sec|minute|min|hour|초|분|시간|s\b|m\b|h\b)", re.IGNORECASE)
_SECONDS = {"s": 1, "초": 1, "m": 60, "분": 60, "h": 3600, "시": 3600}


def server_time(response: requests.Response) -> datetime:
    """The exchange's clock (UTC, whole seconds) from the `Date` header. Raises BadAnswer without one."""
    try:
        return parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError as error:
        raise BadAnswer(f"{response.url}: no readable Date header, so the exchange's time is not known") from error


def error_of(response: requests.Response, now: datetime) -> ExchangeError | None:
    """The typed error of an answer, None for 200. `now` (UTC) starts a ban."""
    status = response.status_code
    if status == 200:
        return None
    text = f"{response.url}: {status} {_message(response)}"
    if status == 418:
        until = now + _ban_duration(response)
        return Banned(f"{text}; nothing is sent before {until:%H:%M:%S} UTC", until)
    if status == 429:
        return RateLimited(text)
    if status == 404:  # a gateway that lost its way says 404 too, of every market
        return UnknownMarket(text) if "Code not found" in text else ServerTrouble(text)
    if 400 <= status < 500:
        return InvalidRequest(text)
    return ServerTrouble(text) if status >= 500 else BadAnswer(text)


def _message(response: requests.Response) -> str:
    try:
        body = response.json()
    except requests.JSONDecodeError:
        return response.text.strip()[:200]
    error = body.get("error", body) if isinstance(body, dict) else body
    return str(error.get("message", error) if isinstance(error, dict) else error)[:200]


def _ban_duration(response: requests.Response) -> timedelta:
    header = response.headers.get("Retry-After", "")
    if header.isdigit():
        return timedelta(seconds=int(header))
    match = _DURATION.search(response.text)
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2][0].lower()]) if match else UNKNOWN_BAN
