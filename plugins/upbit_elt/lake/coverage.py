"""What a file accounts for: the spans asked, quiet or failed of every market, kept in the Parquet footer.

A minute of an asked span without a row had no trade; a minute of no span was never asked for.
"""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple

from upbit_elt.errors import LakeCorrupt, LakeTooNew
from upbit_elt.holes import HoleReason
from upbit_elt.intervals import difference, union
from upbit_elt.lake import old_footers
from upbit_elt.lake.layout import parse_stamp, stamp

FOOTER_KEY = b"upbit_elt.coverage"
# 2: reasons are HoleReasons with a detail; 1: sentences (see old_footers).
VERSION = 2
# Ends a footer since version 2, so that damage is never taken for a newer release.
_CHECKSUM = b',"crc32":'
State = Literal["asked", "quiet", "hole"]


class Span(NamedTuple):
    """A half-open span [start, end) (UTC minutes) of one market and how it is accounted for.

    `asked`: the exchange answered, absent minutes had no trade; with the reason NOT_LISTED it answered that the market
    has nothing older. `quiet`: the ticker's last trade was older. `hole`: not known, `reason` says why; the watermark
    stays before it, so that the next run asks again. `detail` is for people: the exchange's words, or a file's name.
    """

    market: str
    start: datetime
    end: datetime
    state: State
    reason: HoleReason = HoleReason.NONE
    detail: str = ""

    @property
    def why(self) -> str:
        """Reason and detail in words."""
        return ": ".join(filter(None, (self.reason.value, self.detail)))


class Recheck(NamedTuple):
    """A half-open span [start, end) (UTC minutes) before a market's watermark that is to be looked at again.

    `quiet`: skipped on the ticker's word since the market was last asked. `empty`: the exchange has said once that the
    market has nothing older, which a second run has to hear as well. `hole`: rows were refused or are late.
    `left`: not asked for yet, a backfill request will.
    `found` is the UTC minute up to which the run covered that found it.
    """

    market: str
    start: datetime
    end: datetime
    state: Literal["quiet", "empty", "hole", "left"]
    found: datetime


@dataclass(frozen=True)
class Coverage:
    """Coverage of one file: its span, its spans by market, who wrote it, and the watermark after it.

    `watermark[market]` is the UTC minute before which every minute of the market is accounted for (back to the
    first minute ever asked). Markets that left the exchange keep theirs. `doubts` are those of all markets after this
    file's run, None in a file whose run says nothing about them. `live_end` is up to where live runs had a part in it,
    None when that is its end (or nowhere, without a watermark): history may reach further.
    """

    start: datetime
    end: datetime
    run: str
    spans: tuple[Span, ...] = ()
    watermark: Mapping[str, datetime] = field(default_factory=dict)
    rechecks: tuple[Recheck, ...] | None = None
    live_end: datetime | None = None

    @property
    def live_until(self) -> datetime | None:
        """Up to where (UTC) live runs account for their markets; None when they had no part in it."""
        return self.live_end or (self.end if self.watermark else None)

    def live(self) -> Coverage:
        """What live runs know: of their own markets, up to the last minute that they accounted for.

        What history brought of other markets, or of later minutes, is not among it.
        """
        end = self.live_until or self.end
        spans = tuple(clip((span for span in self.spans if span.market in self.watermark), self.start, end))
        return replace(self, end=end, spans=spans, live_end=None)

    def known(self) -> list[Span]:
        """The spans that are accounted for."""
        return [span for span in self.spans if span.state != "hole"]

    def holes(self) -> list[Span]:
        """The spans that are not known."""
        return [span for span in self.spans if span.state == "hole"]

    def clipped(self, start: datetime, end: datetime) -> Coverage:
        """The part of it within [start, end); the watermark of every market ends at `end` at the latest."""
        spans = tuple(clip(self.spans, start, end))
        inside = {market: min(moment, end) for market, moment in self.watermark.items()}
        rechecks = self.rechecks and tuple(d._replace(end=min(d.end, end)) for d in self.rechecks if d.start < end)
        until = self.live_end and min(self.live_end, end)
        return _coverage(max(self.start, start), min(self.end, end), self.run, spans, inside, rechecks, until)

    def to_json(self) -> bytes:
        """Compact JSON: markets are listed once, equal spans and watermarks share one entry."""
        names = sorted({s.market for s in self.spans} | {d.market for d in self.rechecks or ()} | set(self.watermark))
        index = {name: position for position, name in enumerate(names)}
        spans: dict[tuple[str, str, str, str, str], list[int]] = defaultdict(list)
        groups: dict[str, list[int]] = defaultdict(list)
        for span in self.spans:
            key = stamp(span.start), stamp(span.end), span.state, span.reason.value, span.detail
            spans[key].append(index[span.market])
        for market, moment in self.watermark.items():
            groups[stamp(moment)].append(index[market])
        document = {
            "version": VERSION,
            "start": stamp(self.start),
            "end": stamp(self.end),
            "run": self.run,
            "markets": names,
            "spans": [[*key, sorted(markets)] for key, markets in sorted(spans.items())],
            "watermark": [[moment, sorted(markets)] for moment, markets in sorted(groups.items())],
        }
        if self.live_end is not None:
            document["live_end"] = stamp(self.live_end)
        if self.rechecks is not None:
            document["doubts"] = _rechecks_document(self.rechecks, index)
        text = json.dumps(document, separators=(",", ":")).encode()
        return text[:-1] + _CHECKSUM + str(zlib.crc32(text)).encode() + b"}"

    @classmethod
    def from_json(cls, data: bytes) -> Coverage:
        """The coverage that `to_json` of this release or of one before wrote.

        Raises:
            LakeTooNew: a newer release wrote it.
            LakeCorrupt: it is anything else.
        """
        try:
            text, separator, checksum = data.rpartition(_CHECKSUM)
            if separator and int(checksum[:-1]) != zlib.crc32(text + b"}"):
                raise ValueError("its checksum is wrong")
            return cls._from_document(json.loads(data))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise LakeCorrupt(f"a Parquet footer's coverage cannot be read: {error!r}") from error

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> Coverage:
        version = document["version"]
        if type(version) is not int:
            raise TypeError(f"version {version!r}")
        if version > VERSION:
            raise LakeTooNew(f"coverage of version {version}; this release reads up to {VERSION}: start the newer one")
        names = document["markets"]
        rows = document["spans"] if version == VERSION else map(old_footers.span_row, document["spans"])
        spans = tuple(
            Span(names[position], *place)
            for start, end, state, reason, detail, positions in rows
            # once for all of its markets
            for place in [(parse_stamp(start), parse_stamp(end), state, HoleReason(reason), detail)]
            for position in positions
        )
        groups = {
            names[position]: moment
            for text, chosen in document["watermark"]
            for moment in [parse_stamp(text)]
            for position in chosen
        }
        rechecks = _rechecks_from(document["doubts"], names) if "doubts" in document else None
        live_end = parse_stamp(document["live_end"]) if "live_end" in document else None
        start, end = parse_stamp(document["start"]), parse_stamp(document["end"])
        return cls(start, end, document["run"], spans, groups, rechecks, live_end)


def _coverage(
    start: datetime,
    end: datetime,
    run: str,
    spans: tuple[Span, ...],
    groups: Mapping[str, datetime],
    rechecks: tuple[Recheck, ...] | None,
    live_end: datetime | None,
) -> Coverage:
    return Coverage(start, end, run, spans, groups, rechecks, None if live_end == end else live_end)


def _rechecks_document(rechecks: Iterable[Recheck], index: Mapping[str, int]) -> list[list[Any]]:
    alike: dict[tuple[str, str, str, str], list[int]] = defaultdict(list)
    for recheck in rechecks:
        key = stamp(recheck.start), stamp(recheck.end), recheck.state, stamp(recheck.found)
        alike[key].append(index[recheck.market])
    return [[*key, sorted(markets)] for key, markets in sorted(alike.items())]


def _rechecks_from(rows: Iterable[Any], names: list[str]) -> tuple[Recheck, ...]:
    return tuple(
        Recheck(names[position], parse_stamp(start), parse_stamp(end), state, parse_stamp(found))
        for start, end, state, found, positions in rows
        for position in positions
    )


def merge(coverages: Iterable[Coverage], run: str) -> Coverage:
    """One coverage that accounts for what several do, oldest first; knowledge beats holes, watermarks only grow.

    Of the doubts those count that the newest part says something about.
    """
    parts = list(coverages)
    known = [span for part in parts for span in part.known()]
    holes = [span for part in parts for span in part.holes()]
    of = by_market(known)
    left = [rest for hole in holes for rest in _without(hole, of[hole.market])]
    groups: dict[str, datetime] = {}
    for part in parts:
        for market, moment in part.watermark.items():
            groups[market] = max(moment, groups.get(market, moment))
    spans = tuple(sorted({*_joined(known), *_joined(left)}))
    speaking = [part for part in parts if part.rechecks is not None]
    rechecks = max(reversed(speaking), key=lambda part: part.end).rechecks if speaking else None
    live_end = max((part.live_until for part in parts if part.live_until), default=None)
    return _coverage(min(p.start for p in parts), max(p.end for p in parts), run, spans, groups, rechecks, live_end)


def clip(spans: Iterable[Span], start: datetime, end: datetime) -> Iterator[Span]:
    """The parts of the spans within [start, end) (UTC)."""
    for span in spans:
        if span.start < end and span.end > start:
            yield span._replace(start=max(span.start, start), end=min(span.end, end))


def by_market(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """The spans of each market, in their order; asking for a market without one gives []."""
    found: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        found[span.market].append(span)
    return found


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Touching or overlapping spans of one market, state, reason and detail made one."""
    alike: dict[tuple[str, State, HoleReason, str], list[Span]] = defaultdict(list)
    for span in spans:
        alike[span.market, span.state, span.reason, span.detail].append(span)
    return [same[0]._replace(start=start, end=end) for same in alike.values() for start, end in union(same)]


def _without(hole: Span, known: Iterable[Span]) -> list[Span]:
    """What of a hole no known span of its market accounts for."""
    return [hole._replace(start=start, end=end) for start, end in difference([hole], known)]
