"""Validation of every minute candle on arrival: valid rows are stored, invalid ones are quarantined with a reason.

The minutes that an invalid row may stand for have to be fetched again: its own minute when its time is credible, else
all minutes between its neighbours in the page. A row may be any JSON value; nothing here raises.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pydantic import ValidationError

from upbit_elt.candle import KST, MINUTE, parse_wire
from upbit_elt.exchange.models import OPENING, MinuteCandle, MinuteUnit
from upbit_elt.exchange.words import excerpt, printable

# The last trade is stored up to 0.35 s after its candle's end (seen in 2020); one later than this is another candle's.
LATEST_TICK = timedelta(seconds=30)
KST_AHEAD = KST.utcoffset(None)
MILLISECOND = timedelta(milliseconds=1)
FEW_NAMES = 20  # so many names of unknown fields are reported


class QuarantinedRow(NamedTuple):
    """A row that failed validation, as received, and why; [start, end) (UTC) are the minutes that it may stand for.

    With `start == end` there is none, since another row or an earlier page has its minute.
    """

    market: str
    start: datetime
    end: datetime
    reason: str
    row: Any


class Page(NamedTuple):
    """One response: valid candles (newest first), quarantined rows, the number of rows, names of unknown fields.

    `oldest` is the oldest credible time (UTC). `trailing` are quarantined rows after the last one with a credible time:
    only the next page shows their minutes; each has `start == end`, which is `oldest` (or the request's `to`).
    """

    rows: tuple[MinuteCandle, ...]
    quarantined: tuple[QuarantinedRow, ...]
    trailing: tuple[QuarantinedRow, ...]
    oldest: datetime | None
    received: int
    added: tuple[str, ...]


class _Read(NamedTuple):
    raw: Any
    start: datetime | None  # None when the row's time is not credible
    candle: MinuteCandle | None
    reason: str
    repeated: bool = False  # another row has its minute


def validate_page(raws: Sequence[Any], market: str, unit: MinuteUnit, to: datetime) -> Page:
    """Validate a response (JSON values, newest first) with candles of `unit` minutes of `market` before `to` (UTC)."""
    read = _in_order(_without_doubles([_read(raw, market, unit, to) for raw in raws]))
    quarantined: list[QuarantinedRow] = []
    trailing: list[QuarantinedRow] = []
    newer = to
    for position, item in enumerate(read):
        if item.start is not None:
            newer = item.start
        if item.candle is not None:
            continue
        start, end = _minutes_to_recheck(item, newer, read[position + 1 :], unit)
        place = trailing if start is None else quarantined
        place.append(QuarantinedRow(market, end if start is None else start, end, item.reason, item.raw))
    valid = tuple(item.candle for item in read if item.candle is not None)
    credible = [item.start for item in read if item.start is not None]
    added = {printable(name, 60) for candle in valid for name in candle.model_extra or {}}
    return Page(
        valid,
        tuple(quarantined),
        tuple(trailing),
        min(credible, default=None),
        len(raws),
        tuple(sorted(added)[:FEW_NAMES]),
    )


def _read(raw: Any, market: str, unit: MinuteUnit, to: datetime) -> _Read:
    if not isinstance(raw, dict):
        return _Read(raw, None, None, f"not an object but {excerpt(raw)}")
    start, reason = _credible_start(raw, market, unit, to)
    if start is None:
        return _Read(raw, None, None, reason)
    try:
        return _Read(raw, start, MinuteCandle.model_validate(raw, strict=True), "")
    except ValidationError as error:
        return _Read(raw, start, None, "; ".join(_words(error)))


def _credible_start(raw: dict[str, Any], market: str, unit: MinuteUnit, to: datetime) -> tuple[datetime | None, str]:
    """The start (UTC) of a row and ""; None and why, when its market or unit is another or its times disagree."""
    if raw.get("market") != market:
        return None, f"market is {excerpt(raw.get('market'))}, requested was {market}"
    if raw.get("unit") != unit:
        return None, f"unit is {excerpt(raw.get('unit'))}, requested was {unit}"
    try:
        start = parse_wire(raw["candle_date_time_utc"])
        # Exchanges outside Korea leave it out.
        kst = parse_wire(raw["candle_date_time_kst"]) if "candle_date_time_kst" in raw else None
    except (KeyError, TypeError, ValueError) as error:
        return None, f"no readable candle time: {excerpt(error)}"
    wrong = _wrong_time(start, kst, unit, to) or _wrong_tick(raw, start, unit)
    return None if wrong else start, wrong


def _wrong_time(start: datetime, kst: datetime | None, unit: MinuteUnit, to: datetime) -> str:
    if kst is not None and kst - start != KST_AHEAD:
        return "candle_date_time_kst is not candle_date_time_utc + 9 h"
    if start.second or (start.hour * 60 + start.minute) % unit:
        return f"{start:%H:%M:%S} does not start a {unit}-minute candle"
    if start < OPENING:
        return f"{start.isoformat()} is before the exchange was opened"
    return "" if start < to else f"{start:%Y-%m-%dT%H:%MZ} is outside of the request, before {to:%Y-%m-%dT%H:%MZ}"


def _wrong_tick(raw: dict[str, Any], start: datetime, unit: MinuteUnit) -> str:
    tick = raw.get("timestamp")
    if type(tick) is not int:  # nothing confirms the candle's time
        return f"timestamp is {excerpt(tick)}"
    since = tick - int(start.timestamp() * 1000)  # as integers: the number may be too large for a timedelta
    inside = 0 <= since < (unit * MINUTE + LATEST_TICK) / MILLISECOND
    return "" if inside else f"timestamp {excerpt(tick)} is not in the candle of {raw['candle_date_time_utc']}"


def _words(error: ValidationError) -> Iterable[str]:
    for item in error.errors():
        where = ".".join(map(str, item["loc"]))
        yield f"{where}: {item['msg']}" if where else item["msg"]


def _without_doubles(read: Sequence[_Read]) -> list[_Read]:
    """Keep one of equal rows of the same minute; of rows that contradict each other, none is valid."""
    times = Counter(item.start for item in read)
    rows: list[_Read] = []
    seen: dict[datetime, Any] = {}
    for item in read:
        if item.start is None or times[item.start] == 1:
            rows.append(item)
        elif item.start not in seen:
            same = all(other.raw == item.raw for other in read if other.start == item.start)
            rows.append(item if same else item._replace(candle=None, reason=item.reason or "two rows of one minute"))
            seen[item.start] = item.raw
        else:
            reason = item.reason or "a second row of the same minute"
            rows.append(item._replace(candle=None, reason=reason, repeated=not item.reason))
    return rows


def _in_order(read: Sequence[_Read]) -> list[_Read]:
    """The same rows; a row whose time breaks the order (newest first) is invalid and its time not credible.

    The page's oldest time says where the next page begins, so a single stray time would skip all minutes between. The
    longest run of falling times stays.
    """
    keys = {number: -item.start.timestamp() for number, item in enumerate(read) if item.start is not None}
    ends: list[int] = []  # the last row of the best run of each length
    before: dict[int, int | None] = {}
    for number, key in keys.items():
        length = bisect_right(ends, key, key=keys.__getitem__)
        before[number] = ends[length - 1] if length else None
        ends[length : length + 1] = [number]
    ordered: set[int] = set()
    last = ends[-1] if ends else None
    while last is not None:
        ordered.add(last)
        last = before[last]
    strays, why = keys.keys() - ordered, "out of order: rows come newest first"
    return [
        item._replace(start=None, candle=None, reason=item.reason or why) if number in strays else item
        for number, item in enumerate(read)
    ]


def _minutes_to_recheck(
    item: _Read, newer: datetime, later: Sequence[_Read], unit: MinuteUnit
) -> tuple[datetime | None, datetime]:
    """The minutes (UTC) that an invalid row may stand for; start is None when no later row says how far they reach."""
    if item.start is not None:
        return item.start, item.start if item.repeated else item.start + unit * MINUTE
    older = next((other.start for other in later if other.start is not None), None)
    return (None, newer) if older is None else (min(older + unit * MINUTE, newer), newer)
