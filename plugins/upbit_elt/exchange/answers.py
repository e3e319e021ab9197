"""From an HTTP answer to a typed error: Upbit speaks JSON, plain text or HTML when it refuses."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from upbit_elt.errors import (
    BadAnswer,
    Banned,
    ExchangeError,
    Garbled,
    InvalidRequest,
    RateLimited,
    ServerTrouble,
    UnknownMarket,
)
from upbit_elt.exchange.words import printable, shown

DEEPEST = 20  # levels of JSON that are read as such; Upbit has four
# Nobody has published the body of a 418; where it names no time we keep away this long.
UNKNOWN_BAN = timedelta(minutes=5)
_DURATION = re.compile(r"(\d+)\s*(second|sec|minute|min|hour|초|분|시간|s\b|m\b|h\b)", re.IGNORECASE)
_SECONDS = {"s": 1, "초": 1, "m": 60, "분": 60, "h": 3600, "시": 3600}


def server_time(response: requests.Response) -> datetime | None:
    """The exchange's clock (UTC, whole seconds) from the `Date` header; None without a readable one."""
    try:
        moment = parsedate_to_datetime(response.headers.get("Date", ""))
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def body_of(response: requests.Response) -> Any:
    """The JSON of a body. Numbers and nested values that Python cannot work with come as text.

    Raises:
        Garbled: it is no JSON.
    """
    try:
        try:
            found = json.loads(response.content)
        except json.JSONDecodeError:
            raise
        except ValueError:  # an integer of thousands of digits
            found = json.loads(response.content, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        start = shown(response.content[:80])
        raise Garbled(f"{response.url}: the body is no JSON ({error}); it begins with {start}") from None
    return _shallow(found, DEEPEST)


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) < sys.int_info.default_max_str_digits else digits


def _shallow(value: Any, levels: int) -> Any:
    """The same with what lies deeper than `levels` cut off, so that no later step ends at Python's own limit."""
    if not isinstance(value, list | dict):
        return value
    if not levels:
        return f"(a {type(value).__name__} nested too deep)"
    if isinstance(value, list):
        return [_shallow(item, levels - 1) for item in value]
    if any(isinstance(item, list | dict) for item in value.values()):
        return {name: _shallow(item, levels - 1) for name, item in value.items()}
    return value


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
        body = body_of(response)
    except Garbled:
        return printable(response.content.decode("utf-8", "replace").strip())
    error = body.get("error", body) if isinstance(body, dict) else body
    return printable(str(error.get("message", error) if isinstance(error, dict) else error))


def _ban_duration(response: requests.Response) -> timedelta:
    header = response.headers.get("Retry-After", "")
    if header.isdigit():
        return timedelta(seconds=int(header))
    match = _DURATION.search(response.text)
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2][0].lower()]) if match else UNKNOWN_BAN
