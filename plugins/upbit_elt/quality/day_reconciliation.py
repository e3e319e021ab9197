"""The reconciliation of one closed KST day: the lake's hours, the exchange's hours, and the result of each market.

Each hour of a market is reconciled by itself. An hour that cannot be (its row is quarantined, or the request for its
minutes failed) stays open with its reason; the others count.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pyarrow as pa

from upbit_elt.candle import SCHEMA, day_end, day_start, to_table
from upbit_elt.collect.fetch import FetchResult
from upbit_elt.collect.plan import FetchRequest
from upbit_elt.intervals import Bounded, Interval, gaps, overlaps, union
from upbit_elt.lake import ledger
from upbit_elt.lake.coverage import Coverage, by_market
from upbit_elt.lake.read import read_sources
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality import results
from upbit_elt.quality.hours import HOUR, Difference, Hours, Summed, differences, exchange_hours, sum_up
from upbit_elt.quality.results import MarketResult, Verdict, hours_of

log = logging.getLogger(__name__)
_NOTHING = Summed({}, 0, "")
NOT_COLLECTED, NOT_YET = "not collected", "not requested yet: the run's time was over"
Checked = Callable[[], str]  # gives the exchange's time (UTC, wire form), known once it has answered


@dataclass
class DayReconciliation:
    """A closed day: its current snapshot, the sums of each market's hours, and the results so far.

    `expected` are, by market, the hours (start, UTC) to reconcile: all 24 of markets that are or were collected, of
    others those that the day's files account for. `differing` are the discrepancies that wait for a repair. `theirs`
    are the exchange's own values of the hours in `answered`, `first` the hours that differed at first, and `why` the
    hours that this run could not reconcile, with the reason ("" when it had no time to request them).
    """

    day: str
    snapshot: str
    sums: dict[str, Summed]
    expected: dict[str, frozenset[datetime]]
    market_results: dict[str, MarketResult]
    differing: dict[str, list[Difference]] = field(default_factory=dict)
    theirs: dict[str, Hours] = field(default_factory=dict)
    answered: dict[str, frozenset[datetime]] = field(default_factory=dict)
    first: dict[str, frozenset[datetime]] = field(default_factory=dict)
    why: dict[str, dict[datetime, str]] = field(default_factory=dict)

    @classmethod
    def load(cls, lake: Lake, day: str, collected: Iterable[str], *, retry: bool) -> DayReconciliation | None:
        """Load a day with its results that still hold; None while it has no complete snapshot.

        `collected` are the markets that live runs collect. With `retry` results that have discrepancies, or say that a
        market is gone, are dropped, so that these are reconciled again.
        """
        snapshot = ledger.current(lake, "candle", day)
        if snapshot is None or not snapshot.complete:
            return None
        tables, coverages = read_sources(lake, day)
        sums = sum_up(pa.concat_tables([SCHEMA.empty_table(), *tables]))
        name = snapshot.path.rsplit("/", 1)[1]
        digests = {market: summed.digest for market, summed in sums.items()}
        old = results.carried(results.read(lake, results.latest(lake, day)), digests, name)
        market_results = {market: one for market, one in old.items() if not retry or one.state in ("proven", "partial")}
        return cls(day, name, sums, _expected(day, coverages, frozenset(collected)), market_results)

    def todo(self) -> set[str]:
        """The markets with an hour that is not reconciled."""
        return {market for market in self.expected if self.open_hours(market)}

    def open_hours(self, market: str) -> frozenset[datetime]:
        """The hours (start, UTC) of a market that are not reconciled."""
        one = self.market_results.get(market)
        return self.expected[market] - (one.reconciled_hours(self.day) if one else frozenset())

    def left(self) -> dict[str, str]:
        """The markets with an hour that is not reconciled, and why; "" when no hour of a market was requested."""
        return {market: self._why_left(market) for market in sorted(self.todo())}

    def take_result(self, result: FetchResult, checked: Checked) -> None:
        """Reconcile a market's open hours with its 60-minute candles; hours that differ wait for a repair."""
        market = result.request.market
        wanted = self.open_hours(market)
        if result.delisted:
            self.market_results[market] = self._gone(market, checked())
        elif result.failure:
            self._leave_open(market, dict.fromkeys(wanted, str(result.failure)))
        else:
            self._store(market, result, wanted)
            if found := self._compare(market):
                self.differing[market] = found
                self.first[market] = _hours(found)
            else:
                self._settle(market, checked())

    def confirms(self, result: FetchResult) -> bool:
        """Whether the exchange's minutes of a span sum up to its hours: only then may a repair remove other candles.

        A result that says that the market has no older candle confirms nothing: an exchange in trouble says so, too.
        """
        market, start, end = result.request[:3]
        summed_up = sum_up(to_table(result.candles)).get(market, _NOTHING).hours
        own = {hour: summed for hour, summed in self.theirs[market].items() if start <= hour < end}
        return not result.nothing_older and not differences(market, summed_up, own)

    def unanswered(self, market: str, hours: Mapping[datetime, str], checked: Checked) -> bool:
        """Leave `hours`, whose minutes did not come, open; True when other differing hours of the market remain."""
        self._leave_open(market, hours)
        if _hours(self.differing[market]) - hours.keys():
            return True
        self._settle(market, checked())
        return False

    def agrees_now(self, market: str, checked: Checked) -> bool:
        """Whether a repaired market agrees with the exchange's hours of before; if so, it is settled."""
        if agrees := not self._compare(market):
            self._settle(market, checked())
        return agrees

    def take_second_result(self, result: FetchResult, checked: Checked) -> None:
        """Reconcile a market that differs after its repair with new hours; what still differs is a discrepancy."""
        market = result.request.market
        if result.failure:
            self._leave_open(
                market,
                dict.fromkeys(_hours(self._compare(market)), f"repaired, and then not compared: {result.failure}"),
            )
        else:
            self._store(market, result, self.answered[market])
        self._settle(market, checked(), self._compare(market))

    def requests(self) -> list[FetchRequest]:
        """Requests for the minutes of all hours that differ; neighbouring hours share a request."""
        return [
            FetchRequest(market, *span) for market in sorted(self.differing) for span in _spans(self.differing[market])
        ]

    def after_repair(self, lake: Lake) -> None:
        """Load the snapshot that the repair made. The results stay: the repair changed only hours without one."""
        now = DayReconciliation.load(lake, self.day, self.expected, retry=False)
        if now is None:
            return
        self.market_results = {
            market: replace(one, snapshot=now.snapshot, digest=now.sums.get(market, _NOTHING).digest)
            for market, one in self.market_results.items()
        }
        self.snapshot, self.sums = now.snapshot, now.sums

    @property
    def verdict(self) -> Verdict:
        """The verdict on the whole day."""
        if self.todo():
            return "partial"
        return "findings" if any(one.state == "finding" for one in self.market_results.values()) else "proven"

    def _store(self, market: str, result: FetchResult, wanted: frozenset[datetime]) -> None:
        """Store the exchange's values of the wanted hours; hours for which a row is quarantined stay open."""
        self._leave_open(
            market, {hour: hole.why for hole in result.holes for hour in wanted if overlaps(_hour(hour), hole)}
        )
        self.answered[market] = wanted - self.why.get(market, {}).keys()
        self.theirs[market] = exchange_hours(c for c in result.candles if c.start in self.answered[market])

    def _leave_open(self, market: str, hours: Mapping[datetime, str]) -> None:
        self.why.setdefault(market, {}).update(hours)
        self.answered[market] = self.answered.get(market, frozenset()) - hours.keys()
        if hours:
            reason = next(iter(hours.values())) or NOT_YET
            log.warning("%s, %s: %d hours not reconciled: %s", self.day, market, len(hours), reason)

    def _why_left(self, market: str) -> str:
        hours = sorted(self.open_hours(market))
        reason = self.why.get(market, {}).get(hours[0], "")
        if len(hours) == len(self.expected[market]):
            return reason
        return f"{len(hours)} of {results.HOURS} hours: {reason or NOT_YET}"

    def _compare(self, market: str) -> list[Difference]:
        """The differences in the hours that the exchange has answered."""
        answered, theirs = self.answered[market], self.theirs.get(market, {})
        ours = {hour: summed for hour, summed in self._summed(market).hours.items() if hour in answered}
        return differences(market, ours, {hour: summed for hour, summed in theirs.items() if hour in answered})

    def _summed(self, market: str) -> Summed:
        return self.sums.get(market, _NOTHING)

    def _gone(self, market: str, checked: str) -> MarketResult:
        summed = self._summed(market)
        return MarketResult(market, self.snapshot, 0, summed.candles, 0, 0, 0, "gone", checked, summed.digest)

    def _settle(self, market: str, checked: str, found: Sequence[Difference] = ()) -> None:
        """Make the result of a market, of the hours answered in this run and those reconciled before."""
        old, summed, answered = self.market_results.get(market), self._summed(market), self.answered[market]
        before = old.reconciled_hours(self.day) - answered if old else frozenset()
        details = [entry for entry in (old.found() if old else []) if results.hour_of(entry) in before]
        details += [difference.to_json() for difference in found]
        left = len({results.hour_of(entry) for entry in details})
        first, last = self.first.get(market, _hours(found)) & answered, _hours(found)
        reconciled = answered | before
        open_hours = [hour for hour in hours_of(self.day) if hour not in reconciled]
        self.market_results[market] = MarketResult(
            market=market,
            snapshot=self.snapshot,
            hours=len(reconciled),
            candles=summed.candles,
            differences=len(first | last) + (old.differences if old else 0),
            repaired=len(first - last) + (old.repaired if old else 0),
            discrepancies=left,
            state="finding" if left else "partial" if self.expected[market] - reconciled else "proven",
            checked=checked,
            digest=summed.digest,
            detail=json.dumps(
                [*details, *(results.unreconciled(hour, self._why(market, hour)) for hour in open_hours)]
            ),
        )

    def _why(self, market: str, hour: datetime) -> str:
        return self.why.get(market, {}).get(hour) or NOT_YET if hour in self.expected[market] else NOT_COLLECTED


def _expected(day: str, coverages: Iterable[Coverage], collected: frozenset[str]) -> dict[str, frozenset[datetime]]:
    known = by_market(span for coverage in coverages for span in coverage.known())
    hours = frozenset(hours_of(day))
    partly = {
        market: frozenset(hour for hour in hours if _inside(_hour(hour), spans))
        for market, spans in known.items()
        if market not in collected
    }
    return dict.fromkeys(collected, hours) | {market: some for market, some in partly.items() if some}


def _hours(found: Iterable[Difference]) -> frozenset[datetime]:
    return frozenset(difference.hour for difference in found)


def _hour(start: datetime) -> Interval:
    return Interval(start, start + HOUR)


def _inside(hour: Interval, spans: Iterable[Bounded]) -> bool:
    return not gaps(spans, hour.start, hour.end)


def _spans(found: Iterable[Difference]) -> list[Interval]:
    return union(Interval(difference.hour, difference.hour + HOUR) for difference in found)


def batches(days: Iterable[str], most: timedelta) -> list[list[str]]:
    """Group KST days, newest first, into batches no longer than `most`: a market needs one request for a batch."""
    found: list[list[str]] = []
    for day in sorted(set(days), reverse=True):
        if found and day_end(found[-1][0]) - day_start(day) <= most:
            found[-1].append(day)
        else:
            found.append([day])
    return found
