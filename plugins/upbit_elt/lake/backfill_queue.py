"""The backfill queue: requests stored in the lake, so that each run goes on where the one before ended.

A request is one JSON file, `<id>.json`. The backfill works through it day by day, newest first; `at` says how far it
is. The same span and markets make the same request, so that a retried task adds none twice. A finished request moves to
`done/`, so that one listing finds the open ones. A cancelled one leaves `<id>.cancelled`, written before the request is
deleted: a run that saves the request afterwards sees it, and does not bring the request back. A file that cannot be
read is renamed to `<id>.json.<hex>.unreadable` and stays; the other requests go on.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import uuid4

from pydantic import AwareDatetime, TypeAdapter
from pydantic_core import from_json

from upbit_elt.candle import KST, MINUTE, day_end, day_start, days_between
from upbit_elt.errors import ConfigError, LakeConflict, LakeCorrupt, LakeUnavailable, UnknownMarket
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.models import Market
from upbit_elt.lake import layout
from upbit_elt.lake.snapshot import Published
from upbit_elt.lake.webhdfs import Entry, Lake

log = logging.getLogger(__name__)

# How often the backfill works through a day with an unreachable market before it stores the failure as a hole.
PASSES = 3
# KST midnight before the first candle of the whole exchange (KRW-BTC, 2017-09-25T03:00Z).
FIRST_EVER = datetime(2017, 9, 24, 15, tzinfo=UTC)
VERSION = 1
OPEN, CANCELLED, UNREADABLE = ".json", ".cancelled", ".unreadable"
_ID = re.compile(r"^[\w-]{1,150}$", re.ASCII)


@dataclass(frozen=True)
class Request:
    """A request for the candles of [start, end) (UTC minutes) of `markets`; of all collected ones when that is empty.

    The backfill has worked through [at, end), except the KST days `left`; `passes` counts how often. `requested` (UTC)
    and `by` are when and by which run it was made. `nothing_before` gives, by market, the minute (UTC) before which
    the exchange has no candle. `done` is when it was finished; `trouble` is why the last run failed, at `troubled`.
    """

    id: str
    start: AwareDatetime
    end: AwareDatetime
    markets: tuple[str, ...]
    at: AwareDatetime
    requested: AwareDatetime
    by: str
    left: tuple[str, ...] = ()
    passes: int = 0
    candles: int = 0
    nothing_before: Mapping[str, AwareDatetime] = field(default_factory=dict)
    done: AwareDatetime | None = None
    trouble: str = ""
    troubled: AwareDatetime | None = None

    def days(self) -> list[str]:
        """The KST days that this pass has still to work through, newest first."""
        return list(days_between(self.start, self.at))[::-1] if self.at > self.start else list(self.left)[::-1]

    def __str__(self) -> str:
        last = (self.end - MINUTE).astimezone(KST)
        whose = f"{len(self.markets)} markets" if len(self.markets) > 3 else ", ".join(self.markets) or "all markets"
        state = f"done, {self.candles} candles" if self.done else f"{self.candles} candles so far"
        if not self.done and self.at < self.end:
            state += f", at {self.at.astimezone(KST):%Y-%m-%d}"
        if not self.done and self.trouble:
            state += f"; its last run failed: {self.trouble}"
        return f"{self.id}: {self.start.astimezone(KST):%Y-%m-%d} to {last:%Y-%m-%d} KST, {whose} ({state})"


class Cancelled(NamedTuple):
    """A request that was removed from the queue, with its `id`; `request` is None when it had been cancelled before."""

    id: str
    request: Request | None

    def __str__(self) -> str:
        if self.request is None:
            return f"{self.id} was cancelled before; what it brought in stays"
        return f"cancelled {self.request}"


def make_request(start: datetime, end: datetime, markets: Iterable[str], now: datetime, by: str) -> Request:
    """A request for [start, end) (aware, cut to whole minutes), made at `now` (UTC) by the run `by`.

    Raises:
        ConfigError: the span is empty or lies in the future.
    """
    end = min(end, now).astimezone(UTC).replace(second=0, microsecond=0)
    start = max(start, FIRST_EVER).astimezone(UTC).replace(second=0, microsecond=0)
    if start >= end:
        raise ConfigError(
            f"nothing to fetch from {start.astimezone(KST):%Y-%m-%d %H:%M} to {end.astimezone(KST):%Y-%m-%d %H:%M} "
            "KST: the start must lie before the end, and before now"
        )
    chosen = tuple(sorted(set(markets)))
    digest = hashlib.sha256(" ".join(chosen).encode()).hexdigest()[:8] if len(chosen) > 1 else "".join(chosen)
    name = f"{layout.stamp(start)}-{layout.stamp(end)}-{digest or 'all'}"
    return Request(name, start, end, chosen, at=end, requested=now, by=by)


def check_markets(client: UpbitClient, markets: Iterable[str]) -> list[Market]:
    """The markets that the exchange lists now. Raises UnknownMarket when one of `markets` is not among them."""
    listed = client.markets()
    unknown = sorted(set(markets) - {row.market for row in listed})
    if unknown:
        raise UnknownMarket(
            f"{', '.join(unknown)}: not listed at {client.base_url} (never was, or delisted: the exchange gives no "
            f"history of a delisted market). {client.base_url}/v1/market/all lists the {len(listed)} there are"
        )
    return listed


class BackfillQueue:
    """The backfill requests of one lake."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._folder = layout.requests_folder(lake.root)
        self._done = f"{self._folder}/done"

    def add(self, request: Request) -> Request:
        """Add a request to the queue and return the queued one: an equal request that is not done stays as it is.

        A run that adds its request again (its task was retried) changes nothing, even if it is done or was cancelled.
        """
        cancelled_for = self._cancelled(request.id)
        if cancelled_for == request.by:
            log.info("%s was cancelled; it stays so", request.id)
            return request
        if cancelled_for is not None:
            self._remove(request.id)
            self._lake.delete(self._path(request.id, CANCELLED))
        queued = self.find(request.id)
        if queued and (not queued.done or queued.by == request.by):
            return queued
        self._write(request)
        return request

    def save(self, request: Request) -> bool:
        """Store how far a request is; False when it is no longer in the queue, to which it is not added again."""
        try:
            queued = from_stored(self._lake.read(self._path(request.id)))
        except LakeCorrupt:  # there is no such file
            return False
        except ValueError:  # the stored file is damaged; `request` replaces it
            queued = request
        if queued.requested != request.requested:
            return False
        self._write(request)
        if self._lake.exists(self._path(request.id, CANCELLED)):  # cancelled since it was read
            self._remove(request.id)
            return False
        return True

    def find(self, request_id: str) -> Request | None:
        """The request with this id, None when there is none, or it cannot be read."""
        return self._read(self._path(request_id)) or self._read(f"{self._done}/{request_id}{OPEN}")

    def all(self) -> list[Request]:
        """All requests, oldest first."""
        open_ones = self._listed()  # moves finished ones to done/
        names = [entry.name for entry in self._lake.list(self._done) if _is_request(entry.name)]
        done = [request for name in names if (request := self._read(f"{self._done}/{name}"))]
        return sorted([*(r for r in open_ones if not r.done), *done], key=lambda r: (r.requested, r.id))

    def open(self) -> list[Request]:
        """The requests not done: first those without a trouble, oldest first; then the others by when they failed."""
        return sorted(
            (request for request in self._listed() if not request.done),
            key=lambda r: (r.troubled or datetime.min.replace(tzinfo=UTC), r.requested, r.id),
        )

    def unreadable(self) -> list[str]:
        """Paths of the files that could not be read as requests and were renamed."""
        folders = self._folder, self._done
        return [
            f"{folder}/{entry.name}" for folder in folders for entry in self._lake.list(folder) if _is_unreadable(entry)
        ]

    def cancel(self, request_id: str) -> Cancelled:
        """Remove a request from the queue; its candles stay. Raises ConfigError when there never was such a request."""
        known = bool(_ID.match(request_id))
        before = known and self._cancelled(request_id) is not None
        request = self.find(request_id) if known and not before else None
        if not before and request is None:
            names = ", ".join(r.id for r in self.open()) or "none"
            raise ConfigError(f"there is no request {request_id!r}; open are: {names}")
        if request:
            try:
                self._lake.publish(self._path(request_id, CANCELLED), request.by.encode())
            except LakeConflict:
                log.info("%s was cancelled by another process too", request_id)
        self._remove(request_id)
        return Cancelled(request_id, request)

    def _listed(self) -> list[Request]:
        """The requests in the folder.

        It moves finished ones to `done/` (earlier releases left them here), and deletes a request that was saved after
        it had been cancelled.
        """
        names = {entry.name for entry in self._lake.list(self._folder) if not entry.is_dir}
        found = []
        for name in sorted(filter(_is_request, names)):
            if name.removesuffix(OPEN) + CANCELLED in names:
                self._lake.delete(f"{self._folder}/{name}")
            elif request := self._read(f"{self._folder}/{name}"):
                if request.done:
                    self._write(request)
                found.append(request)
        return found

    def _read(self, path: str) -> Request | None:
        """The request in a file; None when it is not there or cannot be read. A damaged file is renamed."""
        try:
            return from_stored(self._lake.read(path))
        except LakeCorrupt:  # no such file: the request was finished or cancelled since the listing
            return None
        except LakeUnavailable as error:
            self._lake.list(self._folder)  # raises when HDFS does not answer at all
            log.warning("a request cannot be read now; the other requests go on: %s", error)
        except NewerRequest as error:
            log.warning("%s: %s; the other requests go on", path, error)
        except ValueError as error:
            renamed = f"{path}.{uuid4().hex[:8]}{UNREADABLE}"
            self._lake.rename(path, renamed)
            log.warning("%s cannot be read as a request and was renamed; request its span again: %s", renamed, error)
        return None

    def _write(self, request: Request) -> None:
        if not request.done:
            self._lake.replace(self._path(request.id), to_stored(request))
            return
        self._lake.replace(f"{self._done}/{request.id}{OPEN}", to_stored(request))
        self._lake.delete(self._path(request.id))

    def _cancelled(self, request_id: str) -> str | None:
        """The run that had made a cancelled request; None when the request was not cancelled."""
        try:
            return self._lake.read(self._path(request_id, CANCELLED)).decode(errors="replace")
        except LakeCorrupt:
            return None

    def _remove(self, request_id: str) -> None:
        self._lake.delete(self._path(request_id))
        self._lake.delete(f"{self._done}/{request_id}{OPEN}")

    def _path(self, request_id: str, ending: str = OPEN) -> str:
        return f"{self._folder}/{request_id}{ending}"


def request_lost_files(lake: Lake, snapshots: Iterable[Published], now: datetime, run: str) -> None:
    """Add a backfill request for the day of each snapshot that replaced unreadable files; `run` adds it at `now` (UTC).

    The backfill fetches only the minutes that no other file held.
    """
    for published in (item for item in snapshots if item.lost):
        wanted = make_request(day_start(published.day), min(day_end(published.day), now), (), now, run)
        queued, names = BackfillQueue(lake).add(wanted), ", ".join(published.lost)
        log.error(
            "unreadable: %s of %s; the backfill fetches what no other file held: %s", names, published.day, queued
        )


class NewerRequest(ValueError):
    """A newer release wrote the request."""


def next_pass(request: Request, left: Iterable[str], now: datetime) -> Request:
    """The request after a pass over all its days: done when no day is left, or after PASSES passes; `now` in UTC."""
    days, passes = tuple(sorted(left)), request.passes + 1
    done = now if not days or passes >= PASSES else None
    return replace(request, at=request.start, left=days, passes=passes, done=done)


def _is_request(name: str) -> bool:
    return name.endswith(OPEN) and not name.startswith("_")


def _is_unreadable(entry: Entry) -> bool:
    return entry.name.endswith(UNREADABLE)


def to_stored(request: Request) -> bytes:
    """The content of a request's file."""
    row = {_STORED_NAMES.get(name, name): value for name, value in _REQUEST.dump_python(request, mode="json").items()}
    return json.dumps({"version": VERSION, **row}, indent=1).encode()


def from_stored(data: bytes) -> Request:
    """Parse the request that `to_stored` wrote. Raises NewerRequest, or ValueError on anything else."""
    row = from_json(data)
    version = row.pop("version", None) if isinstance(row, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise NewerRequest(f"its version {version} is newer than this program")
    if version != VERSION:
        raise ValueError("it is not a request")
    request = _REQUEST.validate_python({_NAMES.get(name, name): value for name, value in row.items()})
    if not _ID.match(request.id):
        raise ValueError("its ID is not valid")
    ordered = FIRST_EVER <= request.start <= request.at <= request.end <= request.requested
    if not ordered or request.start == request.end:
        raise ValueError("its times are not in order")
    for day in request.left:
        day_start(day)
    return request


_REQUEST = TypeAdapter(Request)
# Fields that the files of requests spell otherwise.
_STORED_NAMES = {"requested": "asked"}
_NAMES = {stored: name for name, stored in _STORED_NAMES.items()}
