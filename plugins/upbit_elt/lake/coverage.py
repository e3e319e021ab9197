"""Coverage: which minutes of which markets a file accounts for, and how; stored in its Parquet footer.

In a span that was requested (state `asked`), a minute without a row had no trade. A minute that lies in no span was
never requested.
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
from upbit_elt.intervals import Interval, difference, intersection, union
from upbit_elt.lake import old_footers
from upbit_elt.lake.layout import parse_stamp, stamp

FOOTER_KEY = b"upbit_elt.coverage"
# 2: reasons are HoleReasons with a detail; 1: sentences (see old_footers).
VERSION = 2
# Since version 2 a footer ends with it, so that damaged bytes are never taken for a newer release.
_CHECKSUM = b',"crc32":'
State = Literal["asked", "quiet", "hole"]


class Span(NamedTuple):
    """A half-open span [start, end) (UTC minutes) of one market and how it is accounted for.

    The states are stored spellings. `asked`: the exchange responded, so a minute without a candle had no trade; with
    the reason NOT_LISTED, it answered that the market has no older candle. `quiet`: the market was inactive, its last
    trade by the ticker lay before. `hole`: not known, for `reason`; after a failed request the watermark stays before
    it, so that the next run requests it again. `detail` is for people: the exchange's words, or a file's name.
    """

    market: str
    start: datetime
    end: datetime
    state: State
    reason: HoleReason = HoleReason.NONE
    detail: str = ""

    @property
    def why(self) -> str:
        """Reason and detail in one text."""
        return ": ".join(filter(None, (self.reason.value, self.detail)))


class Recheck(NamedTuple):
    """A half-open span [start, end) (UTC minutes) before a market's watermark that a later run requests again.

    The states are stored spellings. `quiet`: the market was skipped as inactive since its last request. `empty`: the
    exchange said once that the market has no older candle, and a second run has to confirm it. `hole`: rows were
    quarantined or are late. `left`: it is left to the backfill, which has a request for it.
    `found` is the end (UTC) of the run that added the recheck.
    """

    market: str
    start: datetime
    end: datetime
    state: Literal["quiet", "empty", "hole", "left"]
    found: datetime


@dataclass(frozen=True)
class Coverage:
    """The coverage of one file: the span [start, end) (UTC), the spans by market, the run that wrote it, and more.

    `watermark[market]` is the UTC minute from which the next live run requests the market. Before it there may be holes
    that the rechecks or the backfill come back to: quarantined or late rows, minutes left to the backfill. Delisted
    markets keep theirs. `rechecks` are those of all markets after the file's run, None
    when the run says nothing about them. `live_end` is the UTC minute up to which live runs had a part in the file,
    None when that is `end` (or, without a watermark, no minute): the backfill may have added later minutes.
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
        """The UTC minute up to which live runs account for their markets; None when they had no part in the file."""
        return self.live_end or (self.end if self.watermark else None)

    def live(self) -> Coverage:
        """The live runs' part: the markets that they collect, up to the last minute that they account for.

        Other markets and later minutes, which the backfill added, are left out.
        """
        end = self.live_until or self.end
        spans = tuple(clip((span for span in self.spans if span.market in self.watermark), self.start, end))
        return replace(self, end=end, spans=spans, live_end=None)

    def known(self) -> list[Span]:
        """The spans that are accounted for: by candles, or as empty."""
        return [span for span in self.spans if span.state != "hole"]

    def holes(self) -> list[Span]:
        """The spans that are holes."""
        return [span for span in self.spans if span.state == "hole"]

    def clipped(self, start: datetime, end: datetime) -> Coverage:
        """The part within [start, end) (UTC); no market's watermark is later than `end`."""
        spans = tuple(clip(self.spans, start, end))
        inside = {market: min(moment, end) for market, moment in self.watermark.items()}
        rechecks = self.rechecks and tuple(d._replace(end=min(d.end, end)) for d in self.rechecks if d.start < end)
        until = self.live_end and min(self.live_end, end)
        return _coverage(max(self.start, start), min(self.end, end), self.run, spans, inside, rechecks, until)

    def to_json(self) -> bytes:
        """Compact JSON: it lists each market once, and markets with equal spans or watermarks share one entry."""
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
        """Parse what `to_json` of this release or an earlier one wrote.

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
            # parsed once for all of the row's markets
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
    """Merge coverages, oldest first, into one that accounts for every minute that one of them does.

    A known span replaces a hole, and the latest watermark of each market counts. The rechecks are those of the newest
    part that has any say about them.
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
    """Yield the parts of the spans within [start, end) (UTC)."""
    wanted = Interval(start, end)
    for span in spans:
        if part := intersection(span, wanted):
            yield span._replace(start=part.start, end=part.end)


def by_market(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """The spans of each market, in the given order; a lookup of a market without spans gives []."""
    found: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        found[span.market].append(span)
    return found


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Join spans that touch or overlap and have the same market, state, reason and detail."""
    alike: dict[tuple[str, State, HoleReason, str], list[Span]] = defaultdict(list)
    for span in spans:
        alike[span.market, span.state, span.reason, span.detail].append(span)
    return [same[0]._replace(start=start, end=end) for same in alike.values() for start, end in union(same)]


def _without(hole: Span, known: Iterable[Span]) -> list[Span]:
    """The parts of a hole that no known span (of its market) accounts for."""
    return [hole._replace(start=start, end=end) for start, end in difference([hole], known)]
