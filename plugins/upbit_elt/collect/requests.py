"""Requests for history: kept in the lake, so that whoever works next goes on where the last one was cut off.

A request is one JSON file. It is worked off day by day, newest first; `at` says how far that is. The same span and
markets are the same request, so asking twice (a retried task) changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

from upbit_elt.candle import KST, MINUTE, days_between
from upbit_elt.errors import ConfigError, LakeCorrupt, UnknownMarket
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.models import Market
from upbit_elt.lake import layout
from upbit_elt.lake.webhdfs import Lake

# How often a day with a market out of reach is gone through before the failure is written down as a hole.
PASSES = 3
# KST midnight before the first candle of the whole exchange (KRW-BTC, 2017-09-25T03:00Z).
FIRST_EVER = datetime(2017, 9, 24, 15, tzinfo=UTC)
_TIMES = ("start", "end", "at", "asked", "done")


@dataclass(frozen=True)
class Request:
    """Candles of [start, end) (UTC minutes) of some markets, of all that are collected when there is none.

    Everything of [at, end) has been gone through, but for the KST days `left`; `passes` counts how often. `nothing
    before` names, by market, the minute before which the exchange has no candle. `done` is when it was finished.
    """

    id: str
    start: datetime
    end: datetime
    markets: tuple[str, ...]
    at: datetime
    asked: datetime
    by: str
    left: tuple[str, ...] = ()
    passes: int = 0
    candles: int = 0
    nothing_before: Mapping[str, datetime] = field(default_factory=dict)
    done: datetime | None = None

    def days(self) -> list[str]:
        """KST days that this pass has still to go through, newest first."""
        return list(days_between(self.start, self.at))[::-1] if self.at > self.start else list(self.left)[::-1]

    def __str__(self) -> str:
        last = (self.end - MINUTE).astimezone(KST)
        whose = f"{len(self.markets)} markets" if len(self.markets) > 3 else ", ".join(self.markets) or "all markets"
        state = f"done, {self.candles} candles" if self.done else f"{self.candles} candles so far"
        if not self.done and self.at < self.end:
            state += f", at {self.at.astimezone(KST):%Y-%m-%d}"
        return f"{self.id}: {self.start.astimezone(KST):%Y-%m-%d} to {last:%Y-%m-%d} KST, {whose} ({state})"


def make_request(start: datetime, end: datetime, markets: Iterable[str], now: datetime, by: str) -> Request:
    """A request for [start, end) (aware; whole minutes), asked for at `now` by the run `by`.

    Raises:
        ConfigError: the span is empty or lies in the future.
    """
    end = min(end, now).astimezone(UTC).replace(second=0, microsecond=0)
    start = max(start, FIRST_EVER).astimezone(UTC).replace(second=0, microsecond=0)
    if start >= end:
        raise ConfigError(
            f"nothing to bring in from {start.astimezone(KST):%Y-%m-%d %H:%M} to {end.astimezone(KST):%Y-%m-%d %H:%M} "
            "KST: the start must lie before the end, and before now"
        )
    chosen = tuple(sorted(set(markets)))
    digest = hashlib.sha256(" ".join(chosen).encode()).hexdigest()[:8] if len(chosen) > 1 else "".join(chosen)
    name = f"{layout.stamp(start)}-{layout.stamp(end)}-{digest or 'all'}"
    return Request(name, start, end, chosen, at=end, asked=now, by=by)


def check_markets(client: UpbitClient, markets: Iterable[str]) -> list[Market]:
    """What the exchange lists now. Raises UnknownMarket when it does not list one of `markets`."""
    listed = client.markets()
    unknown = sorted(set(markets) - {row.market for row in listed})
    if unknown:
        raise UnknownMarket(
            f"{', '.join(unknown)}: not listed at {client.base_url} (never was, or delisted: the exchange gives no "
            f"history of a delisted market). {client.base_url}/v1/market/all lists the {len(listed)} there are"
        )
    return listed


class RequestBook:
    """The requests of one lake."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._folder = layout.requests_folder(lake.root)

    def add(self, request: Request) -> Request:
        """Put a request on the book; one that is there and not done goes on as it is. Returns what holds."""
        there = self.find(request.id)
        if there and not there.done:
            return there
        self.save(request)
        return request

    def save(self, request: Request) -> None:
        """Keep how far a request is."""
        self._lake.replace(self._path(request.id), _to_json(request))

    def find(self, request_id: str) -> Request | None:
        """The request of this id, None when there is none."""
        path = self._path(request_id)
        return _from_json(self._lake.read(path), path) if self._lake.exists(path) else None

    def all(self) -> list[Request]:
        """All requests, oldest first."""
        names = [entry.name for entry in self._lake.list(self._folder) if entry.name.endswith(".json")]
        found = (self.find(name.removesuffix(".json")) for name in names if not name.startswith("_"))
        return sorted((request for request in found if request), key=lambda r: (r.asked, r.id))

    def open(self) -> list[Request]:
        """Requests that are not done, oldest first."""
        return [request for request in self.all() if not request.done]

    def cancel(self, request_id: str) -> Request:
        """Take a request off the book; what it brought in stays. Raises ConfigError when there is none."""
        request = self.find(request_id)
        if request is None:
            known = ", ".join(r.id for r in self.open()) or "none"
            raise ConfigError(f"there is no request {request_id!r}; open are: {known}")
        self._lake.delete(self._path(request_id))
        return request

    def _path(self, request_id: str) -> str:
        return f"{self._folder}/{request_id.replace('/', '_')}.json"


def next_pass(request: Request, left: Iterable[str], now: datetime) -> Request:
    """The request after all its days were gone through; done when none is left, or PASSES did not help."""
    days, passes = tuple(sorted(left)), request.passes + 1
    done = now if not days or passes >= PASSES else None
    return replace(request, at=request.start, left=days, passes=passes, done=done)


def _to_json(request: Request) -> bytes:
    row = asdict(request)
    for name in _TIMES:
        row[name] = row[name].isoformat() if row[name] else None
    row["nothing_before"] = {market: moment.isoformat() for market, moment in request.nothing_before.items()}
    return json.dumps({"version": 1, **row}, indent=1).encode()


def _from_json(data: bytes, path: str) -> Request:
    try:
        row = json.loads(data)
        if row.pop("version") != 1:
            raise ValueError("its version is newer than this program")
        for name in _TIMES:
            row[name] = datetime.fromisoformat(row[name]) if row[name] else None
        bounds = {market: datetime.fromisoformat(text) for market, text in row["nothing_before"].items()}
        row |= {"markets": tuple(row["markets"]), "left": tuple(row["left"]), "nothing_before": bounds}
        return Request(**row)
    except (ValueError, KeyError, TypeError) as error:
        raise LakeCorrupt(f"{path} cannot be read as a request ({error}); delete it and ask again") from error
