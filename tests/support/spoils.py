"""What an exchange may say that it should not: any JSON value at any place of any answer, any status, any header."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.support.exchange import Reply
from upbit_elt.clock import Clock

DIGITS = "digits of a number that no integer of Python is made of"
NESTED = "brackets without end"
_TOKENS = {f'"{DIGITS}"': "7" * 5000, f'"{NESTED}"': "[" * 300 + "]" * 300}
ENDPOINTS = ("market", "ticker", "candles")
HEADERS = ("Date", "Remaining-Req", "Retry-After", "Content-Type", "Location", "Content-Length")


class Spoil(NamedTuple):
    """What is done to the answer to the `number`-th request (from 1) of an endpoint, 0 for all of them.

    `change` gets the JSON of the body, and gives it spoilt; `body` stands for all of it, when it is not None.
    """

    endpoint: str
    number: int
    change: Callable[[Any], Any] | None = None
    body: bytes | None = None
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    words: str = ""

    def __repr__(self) -> str:
        return f"{self.endpoint} {self.number or 'all'}: {self.words}"


class Spoiler:
    """Spoils the answers of an exchange."""

    def __init__(self, inner: Callable[[str, dict[str, str]], Reply], spoils: list[Spoil]) -> None:
        self._inner, self._spoils = inner, spoils
        self._numbers: Counter[str] = Counter()

    def __call__(self, path: str, query: dict[str, str]) -> Reply:
        endpoint = path.split("/")[2]
        self._numbers[endpoint] += 1
        status, body, headers = self._inner(path, query)
        mine = [s for s in self._spoils if s.endpoint == endpoint and s.number in (0, self._numbers[endpoint])]
        changes = [spoil.change for spoil in mine if spoil.change]
        rows = json.loads(body)
        for change in changes:
            rows = change(rows)
        body = _dumped(rows) if changes else body
        for spoil in mine:
            body = body if spoil.body is None else spoil.body
            status = status if spoil.status is None else spoil.status
            headers = {**headers, **dict(spoil.headers)}
        return status, body, headers


def _dumped(value: Any) -> bytes:
    text = json.dumps(value)
    for token, raw in _TOKENS.items():
        text = text.replace(token, raw)
    return text.encode()


def spoils(clock: Clock, requests: int) -> st.SearchStrategy[list[Spoil]]:
    """One to three spoils of a run that sends each endpoint `requests` requests at most, about the time of `clock`."""
    one = st.one_of(_changes(clock, requests), _bodies(requests), _statuses(requests), _headers(clock, requests))
    return st.lists(one, min_size=1, max_size=3)


def _numbers(requests: int) -> st.SearchStrategy[int]:
    return st.one_of(st.just(0), st.integers(1, requests))


def _texts() -> st.SearchStrategy[str]:
    anything = st.text(st.characters(codec=None, exclude_categories=[]), max_size=30)  # lone surrogates too
    return st.one_of(anything, st.sampled_from(["\ud800", "KRW-\udfff", "\x00", DIGITS, NESTED, "NaN", "", "null"]))


def _scalars(clock: Clock) -> st.SearchStrategy[Any]:
    now = int(clock.now().timestamp())
    times = st.sampled_from([now, now * 10**6, now * 10**9, -now, 0, 1, 10**19, 2**63, 2**31, now * 1000 + 10**8])
    moments = ["0001-01-01T00:00:00", "9999-12-31T23:59:00", "2026-11-24T03:12:00", "2026-11-24T12:12:00", "1e9"]
    return st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), _texts(), times, st.sampled_from(moments),
        st.sampled_from(["KRW-A", "KRW-X", "KRW-", "-", "KRW-A,KRW-B", "BTC-A"]),
    )  # fmt: skip


def _values(clock: Clock) -> st.SearchStrategy[Any]:
    def deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(st.lists(inner, max_size=4), st.dictionaries(_texts(), inner, max_size=4))

    return st.recursive(_scalars(clock), deeper, max_leaves=6)


@st.composite
def _changes(draw: st.DrawFn, clock: Clock, requests: int) -> Spoil:
    """One place of the JSON gets another value: a field, a new field, a missing one, a row, one more row, all of it."""
    endpoint, number = draw(st.sampled_from(ENDPOINTS)), draw(_numbers(requests))
    how = draw(st.sampled_from(["field", "field", "field", "drop", "add", "row", "insert", "all"]))
    place, which = draw(st.integers(0, 30)), draw(st.integers(0, 30))
    value, name = draw(_values(clock)), draw(_texts())

    def change(rows: Any) -> Any:
        if how == "all" or not isinstance(rows, list) or not rows:
            return value
        at = place % len(rows)
        if how == "row":
            return [*rows[:at], value, *rows[at + 1 :]]
        if how == "insert":
            return [*rows[:at], value, *rows[at:]]
        row = rows[at]
        if not isinstance(row, dict) or not row:
            return rows
        field = name if how == "add" else sorted(row)[which % len(row)]
        changed = {key: row[key] for key in row if key != field} | ({} if how == "drop" else {field: value})
        return [*rows[:at], changed, *rows[at + 1 :]]

    words = f"{how} row {place} field {which} {name!r:.40} := {value!r:.80}"
    return Spoil(endpoint, number, change=change, words=words)


@st.composite
def _bodies(draw: st.DrawFn, requests: int) -> Spoil:
    body = draw(
        st.one_of(st.binary(max_size=60), st.sampled_from([b"", b"[]", b"{}", b"[" * 9999, b"<html>", b"[1e]"]))
    )
    return Spoil(draw(st.sampled_from(ENDPOINTS)), draw(_numbers(requests)), body=body, words=f"body {body[:40]!r}")


@st.composite
def _statuses(draw: st.DrawFn, requests: int) -> Spoil:
    usual = st.sampled_from([201, 204, 301, 302, 400, 401, 403, 404, 418, 429, 500, 502, 503, 504])
    status = draw(st.one_of(usual, st.integers(100, 999)))
    said = st.sampled_from([b"", b"Too many API requests.", b'{"error":{"message":"Code not found"}}', b"for 3 hours"])
    body = draw(st.one_of(said, st.binary(max_size=60)))
    words = f"status {status} {body[:40]!r}"
    return Spoil(draw(st.sampled_from(ENDPOINTS)), draw(_numbers(requests)), status=status, body=body, words=words)


@st.composite
def _headers(draw: st.DrawFn, clock: Clock, requests: int) -> Spoil:
    away = st.integers(-3, 3).map(timedelta) | st.integers(-7200, 7200).map(lambda seconds: timedelta(seconds=seconds))
    dates = away.map(lambda by: format_datetime(clock.now() + by, usegmt=True))
    texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=40)
    odd = st.sampled_from(
        ["sec=0", "sec=" + "9" * 5000, "0", "9" * 30, "-1", "http://[::1", "text/html;charset=undefined"]
    )
    name, value = draw(st.sampled_from(HEADERS)), draw(st.one_of(dates, texts, odd))
    status = draw(st.sampled_from([None, None, 418, 429, 302]))
    words = f"header {name}: {value:.60} status {status}"
    return Spoil(
        draw(st.sampled_from(ENDPOINTS)), draw(_numbers(requests)), status=status, headers=((name, value),), words=words
    )
