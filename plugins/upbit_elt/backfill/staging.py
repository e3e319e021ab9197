"""One KST day of the backfill: its published coverage, the results staged in `_backfill/`, and its missing minutes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from uuid import uuid4

from upbit_elt.candle import MINUTE, Candle, day_span, to_table
from upbit_elt.clock import Clock
from upbit_elt.collect.plan import FetchRequest
from upbit_elt.errors import LakeCorrupt
from upbit_elt.exchange.client import MAX_COUNT
from upbit_elt.holes import HoleReason
from upbit_elt.intervals import Bounded, Interval, contains, gaps, intersection, joined_by_page, page_count
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.coverage import Coverage, Span, by_market, merge
from upbit_elt.lake.lease import lease
from upbit_elt.lake.parquet import coverage_of, decode, encode, read_coverage
from upbit_elt.lake.publish import Published, publish_snapshot
from upbit_elt.lake.read import latest
from upbit_elt.lake.salvage import quarantine_file
from upbit_elt.lake.webhdfs import Lake

PAGE = MAX_COUNT * MINUTE
log = logging.getLogger(__name__)
_READERS = 8


class BackfillDay:
    """A KST day: the spans that its snapshot accounts for, and the results that wait to be published.

    `published` and `waiting` are spans by market; `complete` says whether the day has a complete snapshot.
    """

    def __init__(self, lake: Lake, day: str) -> None:
        self.day = day
        self._minutes = day_span(day)
        self._lake = lake
        self._folder = layout.backfill_folder(lake.root, day)
        snapshot = ledger.current(lake, "candle", day)
        files = ledger.files(lake, snapshot, day) if snapshot else []
        self.complete = snapshot is not None and snapshot.complete
        staged = [entry for entry in lake.list(self._folder) if not entry.name.startswith("_")]
        self.published = _spans(_coverages(lake, [(file.path, file.size) for file in files]).values())
        waiting = _coverages(lake, [(f"{self._folder}/{entry.name}", entry.size) for entry in staged])
        self.waiting = _spans(waiting.values())
        self._staged = list(waiting)
        self._spans: list[Span] = []
        self._candles: list[Candle] = []

    def add(self, spans: Iterable[Span], candles: Iterable[Candle] = ()) -> None:
        """Add spans and their candles to those that wait; what lies outside the day is ignored."""
        for span in spans:
            if part := self.part(span):
                self._spans.append(span._replace(start=part.start, end=part.end))
                self.waiting[span.market].append(self._spans[-1])
        self._candles += [candle for candle in candles if contains(self._minutes, candle.start)]

    def part(self, span: Bounded) -> Interval | None:
        """The part of a span that lies within the day; None when there is none."""
        return intersection(span, self._minutes)

    def missing(self, ends: Mapping[str, datetime], start: datetime) -> list[FetchRequest]:
        """Requests for the day's minutes not accounted for, from `start` (UTC) to each market's end (UTC).

        They are sorted by market; short known spans between gaps are requested again where that saves a request.
        """
        found = []
        for market, end in sorted(ends.items()):
            known = settled([*self.published.get(market, []), *self.waiting[market]])
            if part := self.part(Interval(start, end)):
                found += [FetchRequest(market, *piece) for piece in joined_by_page(gaps(known, *part), PAGE)]
        return found

    @property
    def news(self) -> bool:
        """Whether the waiting results account for minutes that the lake's snapshot does not.

        A day without a snapshot gets none only to say that no market was listed yet.
        """
        spans = [span for spans in self.waiting.values() for span in spans]
        if not self.published and all(span.reason is HoleReason.NOT_LISTED for span in spans):
            return False
        return any(gaps(self._published_for(span), span.start, span.end) for span in spans)

    def stage(self, run_id: str) -> None:
        """Write the results to `_backfill/`, where they wait until the day is published."""
        self._spans = [
            span for span in self._spans if span.reason is not HoleReason.NOT_LISTED
        ]  # a later run finds it out without a request
        if not self._spans:
            return
        path = f"{self._folder}/{uuid4().hex}.parquet"
        data = encode(to_table(self._candles), _coverage(self._spans, run_id))
        self._lake.publish(path, data)
        self._staged.append(path)
        self._spans, self._candles = [], []

    def publish(self, run_id: str, clock: Clock, *, complete: bool) -> Published:
        """Publish a new snapshot of the day that includes all waiting results.

        Raises:
            LeaseHeld: another writer holds the lease of the day.
            LakeCorrupt: a staged file cannot be read; it is quarantined, and the next run requests its span again.
            LakeError: see publish_snapshot; staged files stay.
        """
        tables, coverages = [], []
        for path in self._staged:
            try:
                data = self._lake.read(path)
                tables.append(decode(data, path))
                coverages.append(coverage_of(data, path))
            except LakeCorrupt:
                quarantine_file(self._lake, self.day, path)
                raise
        if self._spans:
            tables.append(to_table(self._candles))
            coverages.append(_coverage(self._spans, run_id))
        with lease(self._lake, layout.day_folder(self._lake.root, "candle", self.day), clock) as held:
            coverage = merge(coverages, run_id)
            published = publish_snapshot(self._lake, self.day, latest(tables), coverage, held, complete=complete)
        self.discard()
        return published

    def discard(self) -> None:
        """Remove the staged files and waiting results; the day's snapshot includes them."""
        if self._staged:
            self._lake.delete(self._folder)
        self._staged, self._spans, self._candles = [], [], []

    def _published_for(self, span: Span) -> list[Span]:
        published = self.published.get(span.market, [])
        return settled(published) if settled([span]) else published


def pages_of(request: FetchRequest) -> int:
    """The number of pages, and so of HTTP requests, that a request takes at most."""
    return page_count(request, PAGE)


def settled(spans: Iterable[Span]) -> list[Span]:
    """The spans that another request would not change."""
    return [span for span in spans if span.state != "hole" or span.reason.skipped_by_backfill]


def _coverage(spans: list[Span], run_id: str) -> Coverage:
    return Coverage(min(s.start for s in spans), max(s.end for s in spans), run_id, tuple(sorted(spans)))


def _coverages(lake: Lake, files: list[tuple[str, int]]) -> dict[str, Coverage]:
    """By path, the coverage of each file (path, size in bytes) that can be read; the others' spans count as missing."""

    def read(file: tuple[str, int]) -> Coverage | None:
        try:
            return read_coverage(lake, *file)
        except LakeCorrupt as error:
            log.warning("unreadable, its minutes are requested again: %s", error)
            return None

    if len(files) < 2:
        found = [read(file) for file in files]
    else:
        with ThreadPoolExecutor(_READERS, thread_name_prefix="footers") as pool:
            found = list(pool.map(read, files))
    return {path: coverage for (path, _), coverage in zip(files, found, strict=True) if coverage}


def _spans(coverages: Iterable[Coverage]) -> dict[str, list[Span]]:
    return by_market(span for coverage in coverages for span in coverage.spans)
