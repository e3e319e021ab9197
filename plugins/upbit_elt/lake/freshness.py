"""Freshness: up to which minute each market is collected, and why not further; for all that shows or uses prices.

A live run whose requests all fail still writes a file, whose end says how far it *tried*. Only the watermarks say up to
which minute the markets are *collected*: live runs are past it. A quarantined or late row is a hole before the
watermark and makes no market stale; the webhook and the alert QuarantineFull report when many markets have one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import NamedTuple

from upbit_elt.holes import HoleReason
from upbit_elt.intervals import Interval, overlaps
from upbit_elt.lake.coverage import Coverage, Recheck, Span

# The lake counts as covered up to a minute when this share of the listed markets is collected up to it.
QUORUM = 0.9
# What is said of the states of a recheck whose minutes are not known.
_HOLES = {
    "hole": (HoleReason.LATE_ROW, "a row is in quarantine or late, and is fetched again"),
    "left": (HoleReason.LEFT_TO_BACKFILL, ""),
}
# Characters of the exchange's own words in a sentence.
LONGEST = 150


class MarketFreshness(NamedTuple):
    """A listed market, which is collected up to `until` (UTC), its watermark.

    `reason` and `detail` say why the last run did not get further; `reason` is NONE when it did.
    """

    market: str
    until: datetime
    reason: HoleReason = HoleReason.NONE
    detail: str = ""

    def is_stale(self, now: datetime, limit: timedelta) -> bool:
        """Whether `until` lies more than `limit` before `now` (UTC)."""
        return now - self.until > limit

    @property
    def why(self) -> str:
        """The value of the reason; NOT_REQUESTED when the last run accounted for everything, and none has run since."""
        return self.reason.value or HoleReason.NOT_REQUESTED.value

    @property
    def words(self) -> str:
        """Since when it is unknown, and why, as `2026-11-24T03:00Z (unreachable: no answer in time)`."""
        return f"{self.until:%Y-%m-%dT%H:%MZ} ({': '.join(filter(None, (self.why, self.detail)))})"


@dataclass(frozen=True)
class Freshness:
    """Up to which minute each listed market is known, by the newest footer of the lake (`Freshness.of`).

    `looked_until` is the end (UTC) of the last live run; `markets` are those that it found listed, sorted by name;
    `gone` are markets that were collected once and are delisted. `holes` are minutes that are not known although they
    lie before a market's `until`: a row was quarantined or is late, or they are left to the backfill.
    """

    looked_until: datetime
    markets: tuple[MarketFreshness, ...]
    gone: frozenset[str]
    holes: tuple[Recheck, ...] = ()

    @classmethod
    def of(cls, live: Coverage) -> Freshness:
        """The freshness by the newest live coverage (`ledger.live_coverage`); it reads nothing else.

        A market counts as listed when its spans or holes reach up to the coverage's end.
        """
        last: dict[str, Span] = {}
        for span in live.spans:
            if span.end >= live.end and (span.market not in last or span.start < last[span.market].start):
                last[span.market] = span
        listed = {market for market, until in live.watermark.items() if until >= live.end} | last.keys()
        found = tuple(_state(market, live, last.get(market)) for market in sorted(listed & live.watermark.keys()))
        holes = tuple(one for one in live.rechecks or () if one.state in _HOLES)
        return cls(live.end, found, frozenset(live.watermark.keys() - listed), holes)

    @property
    def covered_until(self) -> datetime:
        """The newest UTC minute up to which at least QUORUM of the listed markets are collected.

        Without a listed market it is the end of the last run.
        """
        return self._reached_by(QUORUM)

    @property
    def typical(self) -> datetime:
        """The newest UTC minute up to which at least half of the listed markets are collected."""
        return self._reached_by(0.5)

    @property
    def worst(self) -> datetime:
        """The newest UTC minute up to which every listed market is collected."""
        return self._reached_by(1.0)

    def _reached_by(self, share: float) -> datetime:
        reached = sorted((one.until for one in self.markets), reverse=True)
        return reached[max(1, ceil(share * len(reached))) - 1] if reached else self.looked_until

    def market(self, name: str) -> MarketFreshness | None:
        """The freshness of a listed market, None for one that is not listed."""
        return next((one for one in self.markets if one.market == name), None)

    def known_at(self, origin: datetime) -> frozenset[str]:
        """Listed markets that are collected up to `origin` (UTC); a quarantined or late row may lie before it."""
        return frozenset(one.market for one in self.markets if one.until >= origin)

    def torn(self, origin: datetime, length: timedelta) -> list[MarketFreshness]:
        """The markets known at `origin` with a hole in the `length` before it; `until` is the start of the first."""
        known, recent = self.known_at(origin), Interval(origin - length, origin)
        found: dict[str, Recheck] = {}
        for hole in sorted(self.holes, key=lambda one: (one.market, one.start)):
            if hole.market in known and overlaps(hole, recent):
                found.setdefault(hole.market, hole)
        return [MarketFreshness(name, hole.start, *_HOLES[hole.state]) for name, hole in found.items()]

    def behind(self, origin: datetime) -> list[MarketFreshness]:
        """The other listed markets, those furthest behind first."""
        return sorted((one for one in self.markets if one.until < origin), key=lambda one: (one.until, one.market))

    def stale(self, now: datetime, limit: timedelta) -> list[MarketFreshness]:
        """The listed markets that are stale by more than `limit` at `now` (UTC), the stalest first."""
        return sorted(
            (one for one in self.markets if one.is_stale(now, limit)), key=lambda one: (one.until, one.market)
        )

    def words(self, now: datetime, limit: timedelta) -> str | None:
        """A sentence that says how many markets are stale, since when and why; None when none is."""
        stale = self.stale(now, limit)
        if not stale:
            return None
        counts = Counter(one.why for one in stale).most_common()
        detail = next((one.detail for one in stale if one.why == counts[0][0] and one.detail), "")
        who = f"all {len(stale)}" if len(stale) == len(self.markets) else f"{len(stale)} of {len(self.markets)}"
        minutes = int((now - stale[0].until).total_seconds()) // 60
        since = f"known only until {stale[0].until:%Y-%m-%dT%H:%MZ}, {minutes} min ago"
        reasons = ", ".join(f"{why} {count}" for why, count in counts)
        return f"{who} markets are stale, {since} ({reasons}{': ' + detail[:LONGEST] if detail else ''})"


def _state(market: str, live: Coverage, last: Span | None) -> MarketFreshness:
    until = live.watermark[market]
    if last is None or until >= live.end:
        return MarketFreshness(market, until)
    return MarketFreshness(market, until, last.reason or HoleReason.NOT_REQUESTED, last.detail)
