"""A synthetic week of many markets: seconds and requests until every day is proven, before and after planted faults.

    python bench/prove_bench.py --markets 300 --days 7

Starts a NameNode, a DataNode and a HiveServer2 of its own (UPBIT_RUN_JARS_DIR saves fetching the jars) and ends them.
The exchange is the replica in this process: seconds are ours alone; what its limit of 10 requests a second costs is
printed beside them.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO / "plugins"), str(REPO)]

import click
import pyarrow as pa
import pyarrow.compute as pc

from bench.daemons import daemons
from tests.support.edges import DaemonEdge
from tests.support.world import World
from upbit_elt.candle import SCHEMA, WIRE_FORMAT, day_end, day_start, kst_day
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.lease import lease
from upbit_elt.lake.parquet import coverage_of, decode, encode
from upbit_elt.lake.publish import publish_snapshot
from upbit_elt.lake.read import read_day
from upbit_elt.quality.coverage_report import accounts_of
from upbit_elt.quality.reconcile import wanted
from upbit_elt.quality.reconciled_day import ReconciledDay

NOW = datetime(2026, 11, 24, 15, 10, 5, tzinfo=UTC)  # 00:10 KST of the 25th
FAULTS = 20


def true_day(world: World, day: str) -> pa.Table:
    """All candles of a KST day as the exchange holds them."""
    parts = []
    for market in world.markets:
        bars = world.source.minutes(market, day_start(day), day_end(day))
        start = pa.array(bars.start).cast(pa.timestamp("s"))
        shifted = pa.array(bars.start + 9 * 3600).cast(pa.timestamp("s"))
        columns = [
            pa.array([market] * len(bars), pa.string()),
            pc.strftime(start, WIRE_FORMAT),
            pc.strftime(shifted, WIRE_FORMAT),
            *(pa.array(column) for column in (bars.open, bars.high, bars.low, bars.close, bars.timestamp)),
            *(pa.array(column) for column in (bars.quote, bars.volume)),
            pa.array([1] * len(bars), pa.int32()),
        ]
        parts.append(pa.Table.from_arrays(columns, schema=SCHEMA))
    return pa.concat_tables(parts)


def fill(world: World, days: list[str]) -> int:
    """Publish closed days, as the close would; returns their candles."""
    rows = 0
    for day in days:
        start, end = day_start(day), day_end(day)
        spans = tuple(Span(market, start, end, "asked") for market in world.markets)
        coverage = Coverage(start, end, "bench", spans, dict.fromkeys(world.markets, end))
        with lease(world.lake, layout.day_folder(world.lake.root, "candle", day), world.clock) as held:
            rows += publish_snapshot(world.lake, day, true_day(world, day), coverage, held, complete=True).rows
    world.on_published(*days)
    return rows


def plant(world: World, days: list[str], seed: int) -> None:
    """FAULTS candles lost, altered and doubled each over all days but the last, whose file is removed."""
    chance = random.Random(seed)  # noqa: S311 - a trial that can be repeated
    for day in days[:-1]:
        path = _file(world, day)
        data = world.lake.read(path)
        table, count = decode(data, path), FAULTS // len(days[:-1]) + 1
        rows = chance.sample(range(table.num_rows), 2 * count)
        lost, altered = rows[:count], rows[count:]
        volume = table.column("candle_acc_trade_volume").to_pylist()
        for row in altered:
            volume[row] *= 1.001
        place = table.schema.get_field_index("candle_acc_trade_volume")
        table = table.set_column(place, SCHEMA.field(place), pa.array(volume, pa.float64()))
        kept = table.take(pa.array(sorted(set(range(table.num_rows)) - set(lost))))
        world.lake.delete(path)
        world.lake.publish(path, encode(pa.concat_tables([kept, kept.slice(5, count)]), coverage_of(data, path)))
    world.lake.delete(_file(world, days[-1]))


def _file(world: World, day: str) -> str:
    snapshot = ledger.current(world.lake, "candle", day)
    assert snapshot is not None
    return f"{snapshot.path}/candle.parquet"


def proven(world: World, days: list[str], title: str) -> list[ReconciledDay]:
    """One run of reconciliation over the days, timed."""
    before, began = len(world.wire.candle_requests()), time.monotonic()
    reconciled = world.prove(days, retry=True, seconds=1e6)
    seconds, requests = time.monotonic() - began, len(world.wire.candle_requests()) - before
    rows = [row for one in reconciled for row in one.rows]
    print(
        f"{title}: {sum(one.verdict == 'proven' for one in reconciled)} of {len(reconciled)} days proven, "
        f"{sum(row.hours for row in rows):,} hours compared, {sum(row.differences for row in rows)} differed, "
        f"{sum(row.repaired for row in rows)} repaired, {sum(row.discrepancies for row in rows)} discrepancies; "
        f"{requests:,} requests ({requests / 10:.0f} s at the exchange's limit), {seconds:.1f} s of our own"
    )
    return reconciled


def account(world: World, days: list[str]) -> None:
    """The coverage ledger over the days, timed."""
    known = ledger.live_coverage(world.lake)
    assert known is not None
    began = time.monotonic()
    found = accounts_of(world.lake, known, day_start(days[0]), day_end(days[-1]))
    seconds = time.monotonic() - began
    empty = {name: sum(getattr(one, name) for one in found.accounts) for name in ("inactive", "empty", "proven")}
    candles = sum(one.candles for one in found.accounts)
    print(
        f"gaps over {len(days)} days: {candles:,} candles, empty {empty}, {found.unexplained():,} unexplained minutes; "
        f"{seconds:.1f} s"
    )


def compare(world: World, days: list[str]) -> None:
    """The lake against the exchange, value by value."""
    for day in days:
        truth = true_day(world, day).sort_by([("market", "ascending"), ("candle_date_time_utc", "ascending")])
        assert read_day(world.lake, day).equals(truth.combine_chunks()), f"{day} differs"
    print(f"all {len(days)} days equal the exchange, value by value")


@click.command()
@click.option("--markets", default=300, show_default=True)
@click.option("--days", "count", default=7, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(markets: int, count: int, seed: int) -> None:
    """Fill, prove, plant, prove again."""
    days = [kst_day(NOW - timedelta(days=back)) for back in range(count, 0, -1)]
    with tempfile.TemporaryDirectory() as folder, daemons(Path(folder) / "daemons", dataset="bench") as settings:
        world = World(DaemonEdge(settings), Path(folder) / "state", NOW, markets=markets, first_minutes=10)
        world.collect()
        print(f"{len(world.markets)} markets, {count} days, {fill(world, days):,} candles")
        account(world, days[-1:])
        account(world, days)
        proven(world, wanted(world.lake, world.clock.now()), "first")
        proven(world, days, "again")
        account(world, days)
        plant(world, days, seed)
        account(world, days)
        proven(world, days, "after faults")
        account(world, days)
        compare(world, days)
        world.close()


if __name__ == "__main__":
    main()
