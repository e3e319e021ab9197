"""Figures behind docs/scaling.md, on a running stack: ./run exec python bench/scaling_bench.py [--days 30]

Writes whole days of made-up candles (a dataset of its own, removed at the end), and measures what they cost: bytes,
NameNode objects and heap, and seconds of queries by one and by several readers at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median

import click
import numpy as np
import pyarrow as pa
import requests

from upbit_elt.candle import KST, SCHEMA, kst_day
from upbit_elt.lake import layout
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.parquet import encode
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings, settings
from upbit_elt.warehouse.hive import Hive
from upbit_elt.warehouse.tables import ensure_day, partition

TRADED = 0.75  # part of the minutes in which a market trades


def day_of_candles(start: datetime, names: list[str], rng: np.random.Generator) -> pa.Table:
    """A KST day from `start` (UTC) on: every market trades in a random part of its minutes, prices walk in ticks."""
    parts = []
    for name in names:
        minutes = np.flatnonzero(rng.random(1440) < TRADED)
        price = np.round(1000 * np.exp(np.cumsum(rng.normal(0, 0.0008, len(minutes)))), 0)
        spread = np.round(np.abs(rng.normal(0, 2, len(minutes))), 0)
        volume = np.round(rng.exponential(50, len(minutes)), 8)
        moments = [start + timedelta(minutes=int(m)) for m in minutes]
        parts.append(
            pa.table(
                {
                    "market": [name] * len(minutes),
                    "candle_date_time_utc": [f"{m:%Y-%m-%dT%H:%M:%S}" for m in moments],
                    "candle_date_time_kst": [f"{m.astimezone(KST):%Y-%m-%dT%H:%M:%S}" for m in moments],
                    "opening_price": price,
                    "high_price": price + spread,
                    "low_price": price - spread,
                    "trade_price": price,
                    "timestamp": [int(m.timestamp() * 1000) + 59_000 for m in moments],
                    "candle_acc_trade_price": price * volume,
                    "candle_acc_trade_volume": volume,
                    "unit": pa.array([1] * len(minutes), pa.int32()),
                },
                schema=SCHEMA,
            )
        )
    return pa.concat_tables(parts)


def seconds(work: Callable[[], object], times: int = 5) -> float:
    """Median seconds of a piece of work."""
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return median(spent)


def namenode(here: Settings) -> tuple[int, float]:
    """Objects (files, folders and blocks) that the NameNode holds, and its heap in use (10^6 bytes)."""
    beans = {bean["name"]: bean for bean in requests.get(f"{here.webhdfs_url}/jmx", timeout=20).json()["beans"]}
    state = beans["Hadoop:service=NameNode,name=FSNamesystem"]
    return state["FilesTotal"] + state["BlocksTotal"], beans["java.lang:type=Memory"]["HeapMemoryUsage"]["used"] / 1e6


@contextmanager
def dataset(here: Settings) -> Iterator[tuple[Settings, Lake, Hive]]:
    """A dataset of its own, removed afterwards."""
    mine = here.model_copy(update={"dataset": "bench_scaling", "hive_timeout": 600.0})
    lake, hive = Lake.from_settings(mine), Hive.from_settings(mine)
    try:
        yield mine, lake, hive
    finally:
        for database in (mine.database, mine.bi_database):
            hive.execute(f"DROP DATABASE IF EXISTS {database} CASCADE")
        lake.delete(mine.lake_root)


def write_days(mine: Settings, lake: Lake, hive: Hive, days: int, markets: int) -> tuple[int, int]:
    """Candles and bytes of the days written, each as one file of a complete day."""
    names = [f"KRW-{number:04d}" for number in range(markets)]
    rng = np.random.default_rng(1)
    first = datetime(2026, 1, 1, tzinfo=KST).astimezone(UTC)
    candles = size = 0
    for number in range(days):
        start = first + timedelta(days=number)
        table, day = day_of_candles(start, names, rng), kst_day(start)
        end = start + timedelta(days=1)
        spans = tuple(Span(name, start, end, "asked") for name in names)
        data = encode(table, Coverage(start, end, "bench", spans, dict.fromkeys(names, end)))
        folder = layout.complete_folder(lake.root, "candle", day, 1)
        lake.publish(f"{folder}/candle.parquet", data)
        ensure_day(hive, mine, "candle", day, folder)
        candles, size = candles + table.num_rows, size + len(data)
    return candles, size


def measure_queries(mine: Settings, hive: Hive, days: int) -> None:
    """Print seconds of the queries of a dashboard and a BI tool."""
    first = partition(kst_day(datetime(2026, 1, 1, tzinfo=KST)))
    whole = f"FROM {mine.database}.candle"
    queries = {
        "one market, one day": f"SELECT * {whole} WHERE dt = '{first}' AND market = 'KRW-0007'",
        f"one market, {days} days": f"SELECT * {whole} WHERE market = 'KRW-0007'",
        "GROUP BY market, one day": f"SELECT market, max(high_price) {whole} WHERE dt = '{first}' GROUP BY market",
        f"GROUP BY market, {days} days": f"SELECT market, max(high_price) {whole} GROUP BY market",
    }
    for name, sql in queries.items():
        click.echo(f"{name:32} {seconds(partial(hive.query, sql)):6.2f} s")

    def at_once(pool: ThreadPoolExecutor, readers: int) -> None:
        list(pool.map(hive.query, [queries["one market, one day"]] * readers))

    for readers in (4, 16):
        with ThreadPoolExecutor(readers) as pool:
            spent = seconds(partial(at_once, pool, readers))
        click.echo(
            f"{f'{readers} readers at once, the first':32} {spent:6.2f} s for all, {readers / spent:5.1f} queries/s"
        )


@click.command()
@click.option("--days", default=30, show_default=True)
@click.option("--markets", default=289, show_default=True)
def main(days: int, markets: int) -> None:
    """Measure and print."""
    with dataset(settings()) as (mine, lake, hive):
        before, _ = namenode(mine)
        candles, size = write_days(mine, lake, hive, days, markets)
        objects, heap = namenode(mine)
        click.echo(f"{candles / days:,.0f} candles a day of {markets} markets, {size / days / 1e6:.1f} MB a day")
        click.echo(f"{size / candles:.1f} bytes a candle; {math.ceil(size / days * 365 / 1e9)} GB a year")
        click.echo(f"{(objects - before) / days:.1f} NameNode objects a closed day; heap in use {heap:.0f} MB")
        measure_queries(mine, hive, days)


if __name__ == "__main__":
    main()
