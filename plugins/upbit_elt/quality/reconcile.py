"""Reconciliation: every closed KST day against the exchange's own 60-minute candles, repaired where it differs.

A request brings up to 200 hours: the days of a batch share it. What differs is asked again minute by minute, a new
generation of the day is published, and the hours are asked and compared once more. What differs still is a finding.
Candles that the exchange does not give go only where its minutes agree with its own hours. Live runs go first: no chunk
begins while one is under way.

Each hour is judged by itself, each day by itself: what cannot be judged now stays open with its reason and is tried
again after a while (rechecks.py).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import NamedTuple, cast

import pyarrow as pa
import pyarrow.compute as pc

from upbit_elt.candle import MINUTE, SCHEMA, day_end, day_start, from_table, to_table, wire
from upbit_elt.clock import Clock
from upbit_elt.collect.fetch import Answer, Failure, fetch
from upbit_elt.collect.plan import Ask
from upbit_elt.errors import LeaseHeld
from upbit_elt.exchange.client import MAX_COUNT, UpbitClient
from upbit_elt.exchange.models import MinuteUnit
from upbit_elt.intervals import Interval, overlaps
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.isolation import kept_apart
from upbit_elt.lake.lease import Lease, is_held, lease
from upbit_elt.lake.publish import publish_generation
from upbit_elt.lake.read import read_sources
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality import backlog, rechecks, results
from upbit_elt.quality.day import NOT_YET, Day, batches
from upbit_elt.quality.hours import HOUR
from upbit_elt.quality.judged import Judged
from upbit_elt.quality.rechecks import RECHECK_DAYS
from upbit_elt.settings import Settings

log = logging.getLogger(__name__)

# Hours that one request brings.
BATCH = MAX_COUNT * HOUR
# Requests a chunk: 5 s at the exchange's limit.
CHUNK = 50
CHUNK_TIME = timedelta(seconds=10)
# So many answers a worker, one after the other, that say that the exchange is out are believed.
OUT = 2
_LOOK = 1.0  # seconds between two looks at a live run's lease


def wanted(lake: Lake, now: datetime, *, retry: bool = False) -> list[str]:
    """Closed KST days without a whole judgement of their candles at `now` (UTC), newest first.

    A day of which something is left open, or stays different, is wanted again when its recheck is due; findings for
    RECHECK_DAYS. Only days are looked at that are noted as not proven and are due. With `retry` all are, at once.
    """
    planned = rechecks.read(lake)
    noted = backlog.unproven(lake, now)
    found = []
    for day in sorted(ledger.days(lake, "candle") if retry else noted, reverse=True):
        if not retry and rechecks.waits(planned.get(day), backlog.newest(noted[day]), now):
            continue
        state, judged = results.state_of(lake, day)
        if state == "open":
            continue
        given_up = judged and judged.verdict == "findings" and now - day_end(day) > RECHECK_DAYS
        if (judged and judged.verdict == "proven") or (given_up and not retry):
            backlog.settle(lake, noted.get(day, ()))
        elif retry or rechecks.is_due(planned.get(day), judged, now):
            found.append(day)
    return found


class _Refetched(NamedTuple):
    """Minutes asked again: the hours that did not come (by market, with the reason), the spans known now, those in
    which what the exchange does not give goes, and the candles that the lake lacks or holds otherwise."""

    missing: dict[str, dict[datetime, str]]
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
        self._client, self.lake, self._settings, self.clock = client, lake, settings, clock
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
        folder = layout.kind_folder(self.lake.root, "reconciliation")
        with lease(self.lake, folder, self.clock, wait=wait) as held:
            run = _Run(self, run_id, until, held)
            for batch in batches(days, BATCH):
                if not run.may_go_on():
                    break
                judged = run.batch(batch, retry=retry)
                rechecks.plan(self.lake, judged, self.clock.now())
                done += judged
        return done


class _Run:
    """One run's work: asks, repairs, publishes."""

    def __init__(self, prover: Prover, run_id: str, until: datetime, held: Lease) -> None:
        self._client, self._lake = prover._client, prover.lake
        self._clock, self._workers, self._chunk = prover.clock, prover._settings.workers, prover._chunk
        self._tell, self._run_id, self._until, self._held = prover._tick, run_id, until, held
        self._out: Failure | None = None

    def batch(self, names: Sequence[str], *, retry: bool) -> list[Judged]:
        """Judge the closed ones of these days, newest first. A day in trouble is left as it is, the others go on."""
        newest = ledger.newest(self._lake)
        collected = newest.watermark if newest else {}
        troubles: dict[str, str] = {}
        days: list[Day] = []
        for name in names:
            with kept_apart(self._lake, name, troubles):
                days += filter(None, [Day.load(self._lake, name, collected, retry=retry)])
        todo = [day for day in days if day.todo()]
        markets = sorted({market for day in todo for market in day.todo()})
        span = (day_start(todo[-1].day), day_end(todo[0].day)) if todo else ()
        for answer in self._answers([Ask(market, *span) for market in markets], unit=60):
            for day in todo:
                if answer.ask.market in day.todo():
                    with kept_apart(self._lake, day.day, troubles):
                        day.hear(answer, self._checked)
        judged = []
        for day in (day for day in days if day.day not in troubles):
            with kept_apart(self._lake, day.day, troubles):
                judged.append(self._publish(day, repaired=self._repair(day)))
        return judged + [Judged(name, "partial", trouble=words) for name, words in troubles.items()]

    def _repair(self, day: Day) -> bool:
        """Ask the minutes of all hours that differ, publish what is new in them, and compare again."""
        found = self._refetched(day, asks := day.asks())
        if not asks or (found.tables and not self._mend(day, found)):
            return False
        if found.tables:
            day.after_repair(self._lake)
        start, end = day_start(day.day), day_end(day.day)
        again = [
            Ask(market, start, end)
            for market in day.differing
            if self._answered(day, market, found) and not day.agrees_now(market, self._checked)
        ]
        for answer in self._answers(again, unit=60):
            day.hear_again(answer, self._checked)
        return bool(found.tables)

    def _answered(self, day: Day, market: str, found: _Refetched) -> bool:
        return day.unanswered(market, found.missing.get(market, {}), self._checked)

    def _refetched(self, day: Day, asks: Sequence[Ask]) -> _Refetched:
        """What the exchange says of the minutes, hour by hour, and what of it the lake holds otherwise."""
        ours = pa.concat_tables([SCHEMA.empty_table(), *(read_sources(self._lake, day.day)[0] if asks else [])])
        found = _Refetched({}, [], [], [])
        for ask in asks:
            found.missing.setdefault(ask.market, {}).update(dict.fromkeys(_hours(ask), self._unasked()))
        for answer in self._answers(asks, unit=1):
            missing = found.missing[answer.ask.market]
            if answer.failure:
                missing |= dict.fromkeys(_hours(answer.ask), f"not repaired: {answer.failure}")
                continue
            for hour in _hours(answer.ask):
                touching = [hole.why for hole in answer.holes if overlaps(hole, Interval(hour, hour + HOUR))]
                if touching:
                    missing[hour] = f"not repaired: {touching[0]}"
                else:
                    del missing[hour]
                    self._take(found, day, _of_hour(answer, hour), ours)
        return found

    def _take(self, found: _Refetched, day: Day, answer: Answer, ours: pa.Table) -> None:
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

    def _mend(self, day: Day, found: _Refetched) -> bool:
        """Publish it; False when the day has changed since it was read: a later run judges what it is now."""
        start, end = min(span.start for span in found.known), max(span.end for span in found.known)
        coverage = Coverage(start, end, self._run_id, tuple(sorted(found.known)))
        folder = layout.day_folder(self._lake.root, "candle", day.day)
        unchanged = False
        try:
            with lease(self._lake, folder, self._clock) as mine:
                current = ledger.current(self._lake, "candle", day.day)
                if unchanged := current is not None and current.path.endswith(f"/{day.generation}"):
                    table, gone = pa.concat_tables(found.tables), found.replaced
                    publish_generation(self._lake, day.day, table, coverage, mine, complete=True, replaces=gone)
        except LeaseHeld as busy:
            unchanged = False
            log.warning("%s: %s", day.day, busy)
        self._held.renew()  # the wait for the day may have been long
        done = "repaired" if unchanged else "left for a later run, as somebody else writes the day"
        log.warning("%s: %d hours differed from the exchange; %s", day.day, len(found.tables), done)
        return unchanged

    def _publish(self, day: Day, *, repaired: bool) -> Judged:
        rows = tuple(day.judged[market] for market in sorted(day.judged))
        found = results.publish(self._lake, day.day, rows, day.generation, day.verdict, self._held) if rows else None
        left = {market: why if why != NOT_YET else self._unasked() for market, why in day.left().items()}
        judged = Judged(day.day, day.verdict, found, rows, repaired, left)
        log.info("%s", judged)
        return judged

    def _answers(self, asks: Sequence[Ask], *, unit: MinuteUnit) -> Iterator[Answer]:
        """Answers, in chunks; none any more when the time is over, or when the exchange gives nothing at all."""
        for chunk in _chunks(asks, self._chunk, unit):
            if self._out or not self.may_go_on():
                return
            failed = 0
            answers = fetch(self._client, chunk, workers=self._workers, tick=self._asked, unit=unit)
            with closing(cast("Generator[Answer]", answers)):
                for answer in answers:
                    yield answer
                    failed = failed + 1 if answer.failure and answer.failure.reason.exchange_out else 0
                    if failed >= min(len(chunk), OUT * self._workers):
                        self._out = answer.failure
                        break

    def _unasked(self) -> str:
        return f"not asked, as the exchange gives nothing: {self._out}" if self._out else NOT_YET

    def _asked(self) -> None:
        self._held.renew()
        self._tell()

    def may_go_on(self) -> bool:
        """Whether a chunk still fits; waits while a live run is under way."""
        live = layout.kind_folder(self._lake.root, "candle")
        while not self._out and self._clock.now() + CHUNK_TIME <= self._until:
            if not is_held(self._lake, live, self._clock):
                return True
            self._held.renew()
            self._clock.sleep(_LOOK)
        return False

    def _checked(self) -> str:
        return wire(self._client.server_time)


def _hours(ask: Ask) -> list[datetime]:
    """Starts (UTC) of the hours of a span that begins and ends with one."""
    return [ask.start + number * HOUR for number in range(int((ask.end - ask.start) / HOUR))]


def _of_hour(answer: Answer, hour: datetime) -> Answer:
    """The part of an answer that is about an hour."""
    inside = tuple(candle for candle in answer.candles if hour <= candle.start < hour + HOUR)
    return Answer(Ask(answer.ask.market, hour, hour + HOUR), candles=inside, empty=answer.empty)


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
