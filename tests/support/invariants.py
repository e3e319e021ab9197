"""What holds of a deployment whenever its runs have had their time: nothing lost, doubled or altered."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import get_args

import pyarrow as pa
import pyarrow.compute as pc

from tests.support.audit import audit
from tests.support.simulation import World, forecast_of
from upbit_elt.candle import SCHEMA, days_between, from_table, to_table, wire
from upbit_elt.errors import UpbitEltError
from upbit_elt.intervals import gaps
from upbit_elt.lake import ledger, pending
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.layout import Kind
from upbit_elt.lake.lease import DURATION
from upbit_elt.lake.read import read_sources
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.warehouse.tables import DAILY, daily_table, partition

CADENCE = timedelta(minutes=2)
JOBS = ("live", "forecast", "close", "prove", "backfill")
ROUNDS = 6
EVER, NEVER = datetime(2017, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)


def settle(world: World, rounds: int = 1) -> list[str]:
    """Let runs follow each other as the scheduler has them; what went wrong in the last round, in words."""
    world.clock.sleep(DURATION.total_seconds() + 1)  # what has died holds its leases no longer
    trouble: list[str] = []
    for _ in range(rounds):
        now = world.clock.now()
        world.at(now.replace(second=5, microsecond=0) + CADENCE - timedelta(minutes=now.minute % 2))
        trouble = []
        for job in (*JOBS, *(["adopt"] if world.old_files else [])):
            try:
                getattr(world.process(), job)()
            except UpbitEltError as error:
                trouble.append(f"{job}: {type(error).__name__}: {error}")
    return trouble


def seen(world: World) -> dict[str, pa.Table]:
    """What readers of the lake and of Hive see at this moment, sorted; whatever they cannot read is raised."""
    name = f"{world.settings.database}.candle"
    shown = SCHEMA.empty_table() if _pointed(world, name, "") == "nothing" else world.hive.rows(name)
    return {"lake": _contents(world), "Hive": _sorted(shown, EVER, NEVER)}


def assert_safe(world: World, before: dict[str, pa.Table]) -> None:
    """At no moment does a reader see a candle twice, one that never was, or less than `before`.

    Where the lake holds `world.wrong` candles wrongly, a repair may have changed as many.
    """
    for where, table in seen(world).items():
        rows = from_table(table)
        counts = Counter((c.market, c.candle_date_time_utc) for c in rows)
        assert max(counts.values(), default=1) == 1, f"{where}: {counts.most_common(1)} at once"
        truth = world.exchange.truth(min((c.start for c in rows), default=NEVER), world.clock.now())
        wrong = set(rows) - set(truth)
        assert len(wrong) <= world.wrong, f"{where}: {sorted(map(str, wrong))[:2]} were never so"
        gone = set(from_table(before[where])) - set(rows)
        assert len(gone) <= world.wrong, f"{where}: {sorted(map(str, gone))[:2]} are not seen any more"
    assert_honest(world)


def assert_honest(world: World) -> None:
    """At no moment does the lake say of a minute that it was empty while the exchange has a candle of it.

    Minutes to recheck are not called empty, and those that `world.wrong` makes wrong are.
    """
    lake = world.process().lake
    newest = ledger.live_coverage(lake)
    if newest is None:
        return
    tables, coverages = _stored(lake, (world.begin, newest.end))
    there = {(c.market, c.start) for table in tables for c in from_table(table)}
    said: dict[str, list[Span]] = defaultdict(list)
    for coverage in coverages:
        for span in coverage.known():
            said[span.market].append(span)
    recheck = [(recheck.market, recheck.start, recheck.end) for recheck in newest.rechecks or ()]
    hidden = [
        candle
        for candle in world.exchange.truth(world.begin, newest.end)
        if (candle.market, candle.start) not in there
        if any(span.start <= candle.start < span.end for span in said[candle.market])
        if not any(name == candle.market and start <= candle.start < end for name, start, end in recheck)
    ]
    assert len(hidden) <= world.wrong, f"said to be empty, but is not: {sorted(map(str, hidden))[:2]}"


def assert_right(world: World, *, still: bool = True) -> int:
    """Some rounds of runs bring everything right, and (`still`) one more run of each changes no row.

    Gives how many rounds it took.
    """
    found: list[str] = []
    for number in range(1, ROUNDS + 1):
        found = [*settle(world), *broken(world)]
        if not found:
            if still:
                _assert_still(world)
            return number
    raise AssertionError("\n".join(found))


def _assert_still(world: World) -> None:
    before = _contents(world)
    for job in ("live", "close", "prove", "backfill"):
        getattr(world.process(), job)()
    assert _contents(world).equals(before), "a rerun in the same minute changed rows"


def broken(world: World) -> Iterator[str]:
    """Each invariant that does not hold now, in words."""
    process = world.process()
    newest = ledger.live_coverage(process.lake)
    if newest is None:
        yield "no live run has published anything"
        return
    span = world.begin, newest.end
    truth = to_table(world.exchange.truth(*span))
    tables, coverages = _stored(process.lake, span)
    name = f"{world.settings.database}.candle"
    shown = SCHEMA.empty_table() if _pointed(world, name, "") == "nothing" else world.hive.rows(name)
    for where, table in (("lake", pa.concat_tables([SCHEMA.empty_table(), *tables])), ("Hive", shown)):
        rows = _sorted(table, *span)
        if not rows.equals(truth):
            found = audit(from_table(rows), from_table(truth))
            yield f"{where}: {found} {found.examples}"
    yield from _unaccounted(world, coverages, newest)
    if lost := Counter(world.adopted) - Counter(from_table(_contents(world)) if world.adopted else ()):
        yield f"{len(lost)} adopted candles are not there, as {next(iter(lost))}"
    yield from _unregistered(world)
    yield from _forecasts(world)


def _stored(lake: Lake, span: tuple[datetime, datetime]) -> tuple[list[pa.Table], list[Coverage]]:
    """Tables and coverages of all files that readers see of the days of a span."""
    found = [read_sources(lake, day) for day in days_between(*span)]
    return [table for tables, _ in found for table in tables], [one for _, those in found for one in those]


def _sorted(table: pa.Table, start: datetime, end: datetime) -> pa.Table:
    """The candles of [start, end), by market and time."""
    moment = pc.field("candle_date_time_utc")
    inside = table.select(SCHEMA.names).filter((moment >= wire(start)) & (moment < wire(end)))
    return inside.sort_by([("market", "ascending"), ("candle_date_time_utc", "ascending")]).combine_chunks()


def _unaccounted(world: World, coverages: Iterable[Coverage], newest: Coverage) -> Iterator[str]:
    """Every market-minute is requested, inactive or a hole; with an exchange in health there is no hole left."""
    known: dict[str, list[Span]] = defaultdict(list)
    for coverage in coverages:
        for span in coverage.known():
            known[span.market].append(span)
    for market in world.exchange.markets:
        left = gaps(known[market], world.begin, newest.end)
        if left:
            yield f"{market} is not accounted for in {[(f'{a:%d %H:%M}', f'{b:%d %H:%M}') for a, b in left[:3]]}"


def _unregistered(world: World) -> Iterator[str]:
    """Tables and partition of a day point at its newest snapshot, and nothing says that they may not."""
    lake, hive, database = world.process().lake, world.hive, world.settings.database
    waiting = pending.listing(lake)
    yield from (f"{entry.name} is stuck" for entry in waiting if entry.task == "register")
    expiring = {(entry.kind, entry.day) for entry in waiting if entry.task == "expire"}
    for kind in get_args(Kind):
        for day in ledger.days(lake, kind):
            current = ledger.current(lake, kind, day)
            if current is None or (kind, day) in expiring:
                continue
            places = {f"{database}.{kind}": partition(day)}
            places |= {} if kind not in DAILY else {f"{database}.{daily_table(kind, day)}": ""}
            for name, dt in places.items():
                there = _pointed(world, name, dt)
                if there != current.path:
                    yield f"Hive's {name} {dt} points at {there}, the newest snapshot is {current.path}"
    if not hive.databases.get(database):
        yield "Hive has no table"


def _pointed(world: World, name: str, dt: str) -> str:
    database, _, table = name.partition(".")
    found = world.hive.databases.get(database, {}).get(table)
    if found is None or (dt and dt not in (found.partitions or {})):
        return "nothing"
    return world.hive.point(name, dt or None)


def _forecasts(world: World) -> Iterator[str]:
    """Each origin that was stored is there once, with the values of its first write."""
    name = f"{world.settings.database}.forecast"
    stored: dict[str, list[tuple[object, ...]]] = defaultdict(list)
    if _pointed(world, name, "") != "nothing":
        for row in world.hive.run(f"SELECT origin, market, horizon, q50 FROM {name}"):
            stored[str(row[0])].append(row[1:])
    origins = {wire(origin) for origin in world.forecasts}
    if unknown := stored.keys() - origins:
        yield f"forecasts of origins that nobody made: {sorted(unknown)[:3]}"
    for origin, rows in stored.items():
        table = forecast_of(datetime.fromisoformat(origin + "+00:00"), world.exchange.markets)
        columns = (table.column(c).to_pylist() for c in ("market", "horizon", "q50"))
        if sorted(rows) != sorted(zip(*columns, strict=True)):
            yield f"the forecasts of {origin} are not those that were stored first"


def _contents(world: World) -> pa.Table:
    """Every candle that readers see, sorted."""
    lake = world.process().lake
    tables = [table for day in ledger.days(lake, "candle") for table in read_sources(lake, day)[0]]
    return _sorted(pa.concat_tables([SCHEMA.empty_table(), *tables]), EVER, NEVER)
