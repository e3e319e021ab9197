"""Read HTTP responses: the clock, the JSON body, and the typed error; Upbit rejects requests in JSON, text or HTML."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from upbit_elt.errors import (
    BadResponse,
    Banned,
    ExchangeError,
    Garbled,
    InvalidRequest,
    RateLimited,
    ServerTrouble,
    UnknownMarket,
)
from upbit_elt.exchange.words import excerpt, printable

DEEPEST = 20  # levels of JSON that are read; Upbit uses four
# How long a ban lasts when its response names no time; the form of a 418 is not documented.
UNKNOWN_BAN = timedelta(minutes=5)
# A 418 follows only when a client ignores 429s, which last a second: so a ban is never shorter than this, and a shorter
# time in its text means something else (`more than 10 requests in 1 second`).
SHORTEST_BAN = timedelta(minutes=1)
LONGEST_BAN = timedelta(days=3650)  # a longer time is no duration; AddressLimits probes a ban once a day
_UNITS = {"d": 86400, "일": 86400, "h": 3600, "시": 3600, "m": 60, "분": 60, "s": 1, "초": 1}
_DURATION = re.compile(
    r"(?<![\d.])(\d{1,9}(?:\.\d{1,9})?)\s*"
    r"(days?\b|hours?\b|hrs?\b|h\b|minutes?\b|mins?\b|m\b|seconds?\b|secs?\b|s\b|일|시간|분|초)",
    re.IGNORECASE,
)
_JOINED = re.compile(r"[\s,]*(?:and)?\s*", re.IGNORECASE)
_NUMBER = re.compile(r"\s*(\d{1,30})(?:\.\d*)?\s*")
# A larger number of seconds than the first (34 years) is a moment since 1970; larger than the second, in ms, us or ns.
_MOMENT, _FINER = 2**30, 10**11


def server_time(response: requests.Response) -> datetime | None:
    """The exchange's time (UTC, whole seconds) by the `Date` header; None when that is missing or unreadable."""
    return _moment(response.headers.get("Date", ""))


def _moment(text: str) -> datetime | None:
    """Parse a date in the form of HTTP or ISO 8601, in UTC unless it names a zone; None when it is no date."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(text)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    return None


def body_of(response: requests.Response) -> Any:
    """The JSON value of a body. Numbers too long, and values nested too deep, for Python are returned as text.

    Raises:
        Garbled: the body is no JSON.
    """
    try:
        try:
            found = json.loads(response.content)
        except json.JSONDecodeError:
            raise
        except ValueError:  # an integer of thousands of digits
            found = json.loads(response.content, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        start = excerpt(response.content[:80])
        raise Garbled(f"{response.url}: the body is no JSON ({error}); it begins with {start}") from None
    return _shallow(found, DEEPEST)


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) < sys.int_info.default_max_str_digits else digits


def _shallow(value: Any, levels: int) -> Any:
    """The value with everything deeper than `levels` replaced, so that no later step reaches Python's own limit."""
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
    """The typed error of a response, None for status 200. A ban counts from `now` (UTC)."""
    status = response.status_code
    if status == 200:
        return None
    text = f"{response.url}: {status} {_message(response)}"
    if status == 418:
        until = now + _ban_duration(response, now)
        return Banned(f"{text}; nothing is sent before {until:%Y-%m-%d %H:%M:%S} UTC", until)
    if status == 429:
        return RateLimited(text)
    if status == 404:  # a broken gateway returns 404 too, for every market
        return UnknownMarket(text) if "Code not found" in text else ServerTrouble(text)
    if 400 <= status < 500:
        return InvalidRequest(text)
    return ServerTrouble(text) if status >= 500 else BadResponse(text)


def _message(response: requests.Response) -> str:
    try:
        body = body_of(response)
    except Garbled:
        return printable(response.content.decode("utf-8", "replace").strip())
    error = body.get("error", body) if isinstance(body, dict) else body
    return printable(str(error.get("message", error) if isinstance(error, dict) else error))


def _ban_duration(response: requests.Response, now: datetime) -> timedelta:
    """The longest time that the response names, within bounds; `now` (UTC) is used when it has no `Date`."""
    named = _durations(response.content[:2000].decode("utf-8", "replace"))
    named.append(_retry_after(response.headers.get("Retry-After", ""), server_time(response) or now))
    longest = max(named)
    if longest <= 0:
        return UNKNOWN_BAN
    return max(SHORTEST_BAN, timedelta(seconds=min(longest, LONGEST_BAN.total_seconds())))


def _retry_after(header: str, now: datetime) -> float:
    """The seconds of a `Retry-After` header: a number, or a moment as a number or date; 0 when it is neither."""
    if match := _NUMBER.fullmatch(header):
        number = int(match[1])
        while number >= _FINER:
            number //= 1000
        return number - now.timestamp() if number >= _MOMENT else number
    return (moment - now).total_seconds() if (moment := _moment(header)) else 0.0


def _durations(text: str) -> list[float]:
    """The seconds of each duration in a text; `1 hour 30 minutes` is one duration."""
    found: list[float] = []
    end = -1
    for match in _DURATION.finditer(text):
        seconds = float(match[1]) * _UNITS[match[2][0].lower()]
        if end >= 0 and _JOINED.fullmatch(text, end, match.start()):
            found[-1] += seconds
        else:
            found.append(seconds)
        end = match.end()
    return found
