"""One closed KST day under judgement: what the lake holds of it, what the exchange said, and what follows."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

import pyarrow as pa

from upbit_elt.candle import SCHEMA, day_end, day_start, to_table
from upbit_elt.collect.fetch import Answer
from upbit_elt.collect.plan import Ask
from upbit_elt.intervals import Interval, union
from upbit_elt.lake import ledger
from upbit_elt.lake.read import read_sources
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality import proofs
from upbit_elt.quality.hours import HOUR, Difference, Hours, Summed, differences, exchange_hours, sum_up
from upbit_elt.quality.proofs import HOURS, Proof, Verdict

log = logging.getLogger(__name__)
_NOTHING = Summed({}, 0, "")


@dataclass
class Day:
    """A closed day: its current generation, what each market sums up to, and the judgements so far.

    `expected` are the markets to judge: those of the day's files, and those that the lake has ever collected.
    `differing` waits for repair; of these, `said` keeps what the exchange said and `first` how many hours differed.
    """

    day: str
    generation: str
    sums: dict[str, Summed]
    expected: frozenset[str]
    judged: dict[str, Proof]
    differing: dict[str, list[Difference]] = field(default_factory=dict)
    said: dict[str, Hours] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, lake: Lake, day: str, collected: Iterable[str], *, retry: bool) -> Day | None:
        """A day with the judgements that still hold; None while it has no complete generation.

        With `retry` earlier findings, and markets that were gone, are judged anew.
        """
        generation = ledger.current(lake, "candle", day)
        if generation is None or not generation.complete:
            return None
        tables, coverages = read_sources(lake, day)
        sums = sum_up(pa.concat_tables([SCHEMA.empty_table(), *tables]))
        named = {span.market for coverage in coverages for span in coverage.spans}
        name = generation.path.rsplit("/", 1)[1]
        digests = {market: summed.digest for market, summed in sums.items()}
        old = proofs.carried(proofs.read(lake, proofs.newest(lake, day)), digests, name)
        judged = {market: proof for market, proof in old.items() if not retry or proof.state == "proven"}
        return cls(day, name, sums, frozenset({*named, *sums, *collected}), judged)

    def todo(self) -> set[str]:
        """Markets without a judgement."""
        return set(self.expected - self.judged.keys())

    def hear(self, answer: Answer, checked: str) -> None:
        """Judge a market by its 60-minute candles; one that differs is kept for repair."""
        market = answer.ask.market
        if answer.final:
            self.judged[market] = self._proof(market, "gone", checked, [])
        elif answer.trouble:
            log.warning("%s, %s: not judged: %s", self.day, market, answer.trouble)
        elif found := self._compare(market, said := self._hours(answer)):
            self.differing[market], self.said[market] = found, said
            self.first[market] = len({difference.hour for difference in found})
        else:
            self.judged[market] = self._proof(market, "proven", checked, [])

    def confirms(self, answer: Answer) -> bool:
        """Whether the exchange's minutes of a span sum up to its hours: only then what they lack may go.

        Nor is it believed that a market has nothing older than these: an exchange in trouble says so, too.
        """
        market, start, end = answer.ask[:3]
        theirs = sum_up(to_table(answer.candles)).get(market, _NOTHING).hours
        said = {hour: summed for hour, summed in self.said[market].items() if start <= hour < end}
        return not answer.empty and not differences(market, theirs, said)

    def agrees_now(self, market: str, checked: str) -> bool:
        """Whether a repaired market agrees with what the exchange said before; it is proven then."""
        if agrees := not self._compare(market, self.said[market]):
            self.judged[market] = self._proof(market, "proven", checked, [])
        return agrees

    def hear_again(self, answer: Answer, checked: str) -> None:
        """Judge a market that differs after its repair too: what differs from the new answer is a finding."""
        market = answer.ask.market
        if answer.trouble:
            log.warning("%s, %s: not judged: %s", self.day, market, answer.trouble)
            return
        found = self._compare(market, self._hours(answer))
        self.judged[market] = self._proof(market, "finding" if found else "proven", checked, found)

    def asks(self) -> list[Ask]:
        """The minutes of all hours that differ; neighbouring hours are one span."""
        return [Ask(market, *span) for market in sorted(self.differing) for span in _spans(self.differing[market])]

    def after_repair(self, lake: Lake) -> None:
        """Look at the lake anew; judgements of markets whose candles are the same stay."""
        now = Day.load(lake, self.day, self.expected, retry=False)
        if now is None:
            return
        digests = {market: summed.digest for market, summed in now.sums.items()}
        self.judged = proofs.carried(self.judged, digests, now.generation)
        self.generation, self.sums = now.generation, now.sums

    @property
    def verdict(self) -> Verdict:
        """What can be said of the whole day."""
        if self.todo():
            return "partial"
        return "findings" if any(proof.state == "finding" for proof in self.judged.values()) else "proven"

    def _hours(self, answer: Answer) -> Hours:
        start, end = day_start(self.day), day_end(self.day)
        return exchange_hours(candle for candle in answer.candles if start <= candle.start < end)

    def _compare(self, market: str, said: Hours) -> list[Difference]:
        return differences(market, self.sums.get(market, _NOTHING).hours, said)

    def _proof(self, market: str, state: proofs.State, checked: str, found: list[Difference]) -> Proof:
        summed, left = self.sums.get(market, _NOTHING), len({difference.hour for difference in found})
        first = self.first.get(market, left)
        return Proof(
            market=market,
            generation=self.generation,
            hours=0 if state == "gone" else HOURS,
            candles=summed.candles,
            differences=first,
            repaired=max(0, first - left),
            findings=left,
            state=state,
            checked=checked,
            digest=summed.digest,
            detail=json.dumps([difference.to_json() for difference in found]),
        )


def _spans(found: Iterable[Difference]) -> list[Interval]:
    return union(Interval(difference.hour, difference.hour + HOUR) for difference in found)


def batches(days: Iterable[str], most: timedelta) -> list[list[str]]:
    """KST days, newest first, in batches that lie within `most`: one request a market brings a whole batch."""
    found: list[list[str]] = []
    for day in sorted(set(days), reverse=True):
        if found and day_end(found[-1][0]) - day_start(day) <= most:
            found[-1].append(day)
        else:
            found.append([day])
    return found
