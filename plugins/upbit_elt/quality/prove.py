"""Reconciliation: every closed KST day against the exchange's own 60-minute candles, repaired where it differs.

A request brings up to 200 hours: the days of a batch share it. What differs is asked again minute by minute, a new
generation of the day is published, and the hours are asked and compared once more. What differs still is a finding.
Candles that the exchange does not give go only where its minutes agree with its own hours. Live runs go first: no chunk
begins while one is under way.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from upbit_elt.candle import MINUTE, SCHEMA, day_end, day_start, from_table, parse_wire, to_table, wire
from upbit_elt.clock import Clock
from upbit_elt.collect.fetch import Answer, fetch
from upbit_elt.collect.plan import Ask
from upbit_elt.exchange.client import MAX_COUNT, UpbitClient
from upbit_elt.exchange.models import MinuteUnit
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.lease import Lease, is_held, lease
from upbit_elt.lake.publish import publish_generation
from upbit_elt.lake.read import read_sources
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality import proofs
from upbit_elt.quality.day import Day, batches
from upbit_elt.quality.hours import HOUR
from upbit_elt.quality.proofs import DayProof, Proof, Verdict
from upbit_elt.settings import Settings

log = logging.getLogger(__name__)

# Hours that one request brings.
BATCH = MAX_COUNT * HOUR
# Requests a chunk: 5 s at the exchange's limit.
CHUNK = 50
CHUNK_TIME = timedelta(seconds=10)
RECHECK, RECHECK_DAYS = timedelta(hours=6), timedelta(days=30)
_LOOK = 1.0  # seconds between two looks at a live run's lease


@dataclass(frozen=True)
class Judged:
    """What a run made of a closed day: its verdict, all rows of it, and whether candles were repaired.

    `proof` is where the rows lie, None when no market could be judged.
    """

    day: str
    verdict: Verdict
    proof: DayProof | None
    rows: tuple[Proof, ...]
    repaired: bool
    unjudged: int

    @property
    def findings(self) -> list[Proof]:
        """The market-days that stay different."""
        return [row for row in self.rows if row.state == "finding"]

    def __str__(self) -> str:
        hours, differing, repaired, findings = (
            sum(getattr(row, name) for row in self.rows) for name in ("hours", "differences", "repaired", "findings")
        )
        gone = sum(row.state == "gone" for row in self.rows)
        return (
            f"{self.day} {self.verdict}: {len(self.rows)} markets, {hours} hours compared, {differing} differed, "
            f"{repaired} repaired, {findings} findings, {gone} markets gone, {self.unjudged} not judged yet"
        )


def wanted(lake: Lake, now: datetime, *, retry: bool = False) -> list[str]:
    """Closed KST days without a whole judgement of their candles at `now` (UTC), newest first.

    Findings of the last RECHECK_DAYS are wanted again every RECHECK, as the exchange may have been in trouble; with
    `retry` all findings are, at once.
    """
    found = []
    for day in reversed(ledger.days(lake, "candle")):
        state, judged = proofs.state_of(lake, day)
        if state == "open" or (judged and judged.verdict == "proven"):
            continue
        if judged and judged.verdict == "findings" and not retry:
            checked = max(parse_wire(row.checked) for row in proofs.read(lake, judged).values())
            if now - checked < RECHECK or now - day_end(day) > RECHECK_DAYS:
                continue
        found.append(day)
    return found


class _Refetched(NamedTuple):
    """Minutes asked again: the spans that were answered, those known by it, those in which what the exchange does not
    give goes, and the candles that the lake lacks or holds otherwise."""

    asked: list[Span]
    known: list[Span]
    replaced: list[Span]
    tables: list[pa.Table]


class Prover:
    """Proves days of one lake."""

    def __init__(
        self,
        client: UpbitClient,
        lake: Lake,
        settings: Settings,
        clock: Clock,
        *,
        chunk: int = CHUNK,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._client, self._lake, self._settings, self._clock = client, lake, settings, clock
        self._chunk, self._tick = chunk, tick

    def run(
        self, run_id: str, days: Iterable[str], until: datetime, *, retry: bool = False, wait: timedelta = timedelta(0)
    ) -> list[Judged]:
        """Judge those of the KST days that are closed, newest first, as long as a chunk fits before `until` (UTC).

        What is judged already costs no request; with `retry` findings are asked for again. A market that cannot
        be reached stays unjudged for a later run.

        Raises:
            LeaseHeld: another run is proving.
            LakeError: the lake could not be read or written. Run it again.
        """
        done: list[Judged] = []
        folder = layout.kind_folder(self._lake.root, "reconciliation")
        with lease(self._lake, folder, self._clock, wait=wait) as held:
            run = _Run(self, run_id, until, held)
            for batch in batches(days, BATCH):
                if not run.may_go_on():
                    break
                done += run.batch(batch, retry=retry)
        return done


class _Run:
    """One run's work: asks, repairs, publishes."""

    def __init__(self, prover: Prover, run_id: str, until: datetime, held: Lease) -> None:
        self._client, self._lake = prover._client, prover._lake
        self._clock, self._workers, self._chunk = prover._clock, prover._settings.workers, prover._chunk
        self._tell, self._run_id, self._until, self._held = prover._tick, run_id, until, held

    def batch(self, names: Sequence[str], *, retry: bool) -> list[Judged]:
        """Judge the closed ones of these days, newest first."""
        newest = ledger.newest(self._lake)
        collected = newest.watermark if newest else {}
        loaded = (Day.load(self._lake, name, collected, retry=retry) for name in names)
        days = [day for day in loaded if day]
        todo = [day for day in days if day.todo()]
        markets = sorted({market for day in todo for market in day.todo()})
        span = (day_start(todo[-1].day), day_end(todo[0].day)) if todo else ()
        for answer in self._answers([Ask(market, *span) for market in markets], unit=60):
            for day in todo:
                if answer.ask.market in day.todo():
                    day.hear(answer, self._checked())
        return [self._publish(day, repaired=self._repair(day)) for day in days]

    def _repair(self, day: Day) -> bool:
        """Ask the minutes of all hours that differ, publish what is new in them, and compare again."""
        asks = day.asks()
        found = self._refetched(day, asks)
        if not found.asked or (found.tables and not self._mend(day, found)):
            return False
        if found.tables:
            day.after_repair(self._lake)
        known = Counter(span.market for span in found.asked)
        whole = [market for market, count in Counter(ask.market for ask in asks).items() if known[market] == count]
        start, end = day_start(day.day), day_end(day.day)
        again = [Ask(market, start, end) for market in whole if not day.agrees_now(market, self._checked())]
        for answer in self._answers(again, unit=60):
            day.hear_again(answer, self._checked())
        return bool(found.tables)

    def _refetched(self, day: Day, asks: Sequence[Ask]) -> _Refetched:
        """What the exchange says of the minutes, and what of it the lake holds otherwise."""
        ours = pa.concat_tables([SCHEMA.empty_table(), *(read_sources(self._lake, day.day)[0] if asks else [])])
        found = _Refetched([], [], [], [])
        for answer in self._answers(asks, unit=1):
            if answer.trouble:
                log.warning("%s, %s: not repaired: %s", day.day, answer.ask.market, answer.trouble)
                continue
            found.asked.extend(answer.spans())
            mine = _part(ours, answer.ask)
            held = set(from_table(mine))
            if day.confirms(answer):
                found.known.extend(answer.spans())
                found.replaced.extend(answer.spans())
                if not mine.equals(theirs := to_table(answer.candles)):
                    found.tables.append(theirs)
            elif new := [candle for candle in answer.candles if candle not in held]:
                found.known.extend(Span(c.market, c.start, c.start + MINUTE, "asked") for c in new)
                found.tables.append(to_table(new))
        return found

    def _mend(self, day: Day, found: _Refetched) -> bool:
        """Publish it; False when the day has changed since it was read: a later run judges what it is now."""
        start, end = min(span.start for span in found.known), max(span.end for span in found.known)
        coverage = Coverage(start, end, self._run_id, tuple(sorted(found.known)))
        folder = layout.day_folder(self._lake.root, "candle", day.day)
        with lease(self._lake, folder, self._clock) as mine:
            current = ledger.current(self._lake, "candle", day.day)
            if unchanged := current is not None and current.path.endswith(f"/{day.generation}"):
                table, gone = pa.concat_tables(found.tables), found.replaced
                publish_generation(self._lake, day.day, table, coverage, mine, complete=True, replaces=gone)
        self._held.renew()  # the wait for the day may have been long
        done = "repaired" if unchanged else "left for a later run, as the day has changed meanwhile"
        log.warning("%s: %d spans differed from the exchange; %s", day.day, len(found.tables), done)
        return unchanged

    def _publish(self, day: Day, *, repaired: bool) -> Judged:
        rows = tuple(day.judged[market] for market in sorted(day.judged))
        found = proofs.publish(self._lake, day.day, rows, day.generation, day.verdict, self._held) if rows else None
        judged = Judged(day.day, day.verdict, found, rows, repaired, len(day.todo()))
        log.info("%s", judged)
        return judged

    def _answers(self, asks: Sequence[Ask], *, unit: MinuteUnit) -> Iterator[Answer]:
        """Answers, in chunks; none any more when the time is over."""
        for chunk in _chunks(asks, self._chunk, unit):
            if not self.may_go_on():
                return
            yield from fetch(self._client, chunk, workers=self._workers, tick=self._asked, unit=unit)

    def _asked(self) -> None:
        self._held.renew()
        self._tell()

    def may_go_on(self) -> bool:
        """Whether a chunk still fits; waits while a live run is under way."""
        live = layout.kind_folder(self._lake.root, "candle")
        while self._clock.now() + CHUNK_TIME <= self._until:
            if not is_held(self._lake, live, self._clock):
                return True
            self._held.renew()
            self._clock.sleep(_LOOK)
        return False

    def _checked(self) -> str:
        return wire(self._client.server_time)


def _part(table: pa.Table, ask: Ask) -> pa.Table:
    """Candles of the asked span, by time; one that is there twice stays so."""
    moment = pc.field("candle_date_time_utc")
    inside = (pc.field("market") == ask.market) & (moment >= wire(ask.start)) & (moment < wire(ask.end))
    return table.filter(inside).sort_by("candle_date_time_utc")


def _chunks(asks: Sequence[Ask], most: int, unit: MinuteUnit) -> Iterator[list[Ask]]:
    """Asks in groups of about `most` requests."""
    group: list[Ask] = []
    cost = 0
    for ask in asks:
        group.append(ask)
        cost += math.ceil((ask.end - ask.start) / (unit * MAX_COUNT * MINUTE))
        if cost >= most:
            yield group
            group, cost = [], 0
    if group:
        yield group
