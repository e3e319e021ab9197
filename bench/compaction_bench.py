"""A day of 720 windows of 289 markets: seconds of a one-market query before and after each compaction and the close.

    python bench/compaction_bench.py [--markets 289] [--without]

Starts a NameNode, a DataNode and a HiveServer2 of its own (UPBIT_RUN_JARS_DIR saves fetching the jars) and ends them.
`--without` also measures the day as 720 small files, as it would be without compaction. A query's first run after a
switch is `cold`, the median of the next three `warm`; both with a new connection.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO / "plugins"), str(REPO)]

import click
import numpy as np
import pyarrow as pa

from bench.daemons import daemons
from upbit_elt.candle import Candle, day_end, day_start, to_table, wire
from upbit_elt.clock import SystemClock
from upbit_elt.forecast import store
from upbit_elt.forecast.schema import FORECAST_SCHEMA, HORIZONS, QUANTILE_COLUMNS
from upbit_elt.lake import layout, ledger, publish
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.layout import Kind
from upbit_elt.lake.lease import Lease, lease
from upbit_elt.lake.parquet import encode
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.replica import SyntheticSource, truth
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive
from upbit_elt.warehouse.register import register_day
from upbit_elt.warehouse.tables import partition

DAY, PLAIN = "261124", "261123"
WINDOW, WINDOWS = timedelta(minutes=2), 720
Windows = list[tuple[pa.Table, Coverage]]


def windows(day: str, markets: int) -> Windows:
    """The day's candles and coverage in windows of 2 minutes; a market without a trade in one is inactive there."""
    source, start = SyntheticSource(seed=7, markets=markets), day_start(day)
    codes = [market.code for market in source.markets() if market.listed <= start]
    rows: dict[int, list[Candle]] = defaultdict(list)
    for code in codes:
        for candle in truth(source, code, start, day_end(day)):
            rows[(candle.start - start) // WINDOW].append(candle)
    made = []
    for number in range(WINDOWS):
        first = start + number * WINDOW
        traded = {candle.market for candle in rows[number]}
        spans = tuple(Span(code, first, first + WINDOW, "asked" if code in traded else "quiet") for code in codes)
        run = f"scheduled__{first + WINDOW:%Y-%m-%dT%H:%M:%S}+00:00"
        made.append(
            (to_table(rows[number]), Coverage(first, first + WINDOW, run, spans, dict.fromkeys(codes, first + WINDOW)))
        )
    return made


class Bench:
    """One deployment, and what is measured on it."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.clock = settings, SystemClock()
        self.lake, self.hive = Lake.from_settings(settings), Hive.from_settings(settings)

    def seconds(self, kind: Kind, day: str, where: str = "market = 'KRW-BTC'") -> tuple[float, float, int]:
        """Cold and warm seconds of a query of one day, and its rows."""
        sql = f"SELECT * FROM {self.settings.database}.{kind} WHERE dt = '{partition(day)}' AND {where}"  # noqa: S608
        taken, found = [], 0
        for _ in range(4):
            began = time.perf_counter()
            found = len(self.hive.query(sql))
            taken.append(time.perf_counter() - began)
        return taken[0], statistics.median(taken[1:]), found

    def footer(self, kind: Kind, day: str) -> tuple[int, int]:
        """Size of the day's first file, and of what its Parquet footer says, in bytes."""
        snapshot = ledger.current(self.lake, kind, day)
        assert snapshot
        file = ledger.files(self.lake, snapshot, day)[0]
        tail = self.lake.read(file.path, offset=file.size - 8)
        return file.size, int.from_bytes(tail[:4], "little")

    def register(self, kind: Kind, day: str) -> float:
        """Point Hive at the day's newest snapshot; gives the seconds."""
        began = time.perf_counter()
        register_day(self.lake, self.hive, self.settings, kind, day)
        return time.perf_counter() - began

    @contextmanager
    def held(self, kind: Kind, day: str) -> Iterator[Lease]:
        """The day's lease."""
        with lease(self.lake, layout.day_folder(self.lake.root, kind, day), self.clock) as one:
            yield one


def candles(bench: Bench, made: Windows) -> None:
    """A day as the live runs write it."""
    print("\ncandles: a new file every 2 minutes")
    print("hour  files  query cold  warm | compacted in  registered | query cold  warm  rows |  file MB  footer KB")
    for number, (table, coverage) in enumerate(made, 1):
        with bench.held("candle", DAY) as held:
            publish.publish_window(bench.lake, DAY, table, coverage, held, most=WINDOWS + 1)
            if number == 1:
                bench.register("candle", DAY)
            snapshot = ledger.current(bench.lake, "candle", DAY)
            assert snapshot
            files = len(ledger.files(bench.lake, snapshot, DAY))
            if files < publish.MOST_FILES:
                continue
            before = bench.seconds("candle", DAY)
            began = time.perf_counter()
            publish.rebuild_snapshot(bench.lake, DAY, coverage.run, held, complete=False)
        _line(bench, "candle", f"{number / 30:4.1f}  {files:5}", before, time.perf_counter() - began)
    before = bench.seconds("candle", DAY)
    began = time.perf_counter()
    with bench.held("candle", DAY) as held:
        publish.rebuild_snapshot(bench.lake, DAY, "close", held, complete=True)
    _line(bench, "candle", "close      ", before, time.perf_counter() - began)


def _line(bench: Bench, kind: Kind, head: str, before: tuple[float, float, int], taken: float) -> None:
    registered = bench.register(kind, DAY)
    cold, warm, rows = bench.seconds(kind, DAY)
    size, footer = bench.footer(kind, DAY)
    print(
        f"{head}  {before[0]:10.2f} {before[1]:5.2f} | {taken:10.1f} s {registered:9.1f} s | "
        f"{cold:10.2f} {warm:5.2f} {rows:5} | {size / 1e6:8.1f} {footer / 1024:10.0f}",
        flush=True,
    )


def without(bench: Bench, made: Windows) -> None:
    """The same day in 720 small files."""
    folder = layout.live_folder(bench.lake.root, "candle", PLAIN, 1)
    back = timedelta(days=1)
    for table, coverage in made:
        name = layout.window_name(coverage.start - back, coverage.end - back)
        bench.lake.create(f"{folder}/{name}", encode(table, coverage))
    bench.register("candle", PLAIN)
    cold, warm, rows = bench.seconds("candle", PLAIN)
    print(f"\nwithout compaction: {WINDOWS} files, one market {cold:.2f} s cold, {warm:.2f} s warm ({rows} rows)")


def forecasts(bench: Bench, markets: int) -> None:
    """A day of forecasts, one file an origin: the day's last compaction, which costs most, and its close."""
    names = [f"KRW-C{number:03}" for number in range(markets - 1)] + ["KRW-BTC"]
    rng = np.random.default_rng(1)
    price = np.exp(rng.normal(7, 3, markets))
    folder = layout.live_folder(bench.lake.root, "forecast", DAY, 1)
    print("\nforecasts: one file an origin, each market's 8 horizons")
    print("             query cold  warm | compacted in  registered | query cold  warm  rows |  file MB  footer KB")
    for first, last in ((0, WINDOWS - store.MOST_FILES), (WINDOWS - store.MOST_FILES, WINDOWS)):
        for number in range(first, last):
            origin = day_start(DAY) + number * WINDOW
            price = price * np.exp(rng.normal(0, 0.001, markets))
            bench.lake.create(f"{folder}/{layout.stamp(origin)}.parquet", encode(_forecast(origin, names, price, rng)))
        bench.register("forecast", DAY)
        before = bench.seconds("forecast", DAY)
        began = time.perf_counter()
        with bench.held("forecast", DAY) as held:
            folder = store.compact_day(bench.lake, DAY, "bench", held, complete=False).folder
        _line(bench, "forecast", f"{last - first:4} files ", before, time.perf_counter() - began)
    before = bench.seconds("forecast", DAY)
    began = time.perf_counter()
    with bench.held("forecast", DAY) as held:
        store.compact_day(bench.lake, DAY, "bench", held, complete=True)
    _line(bench, "forecast", "close      ", before, time.perf_counter() - began)
    cold, warm, rows = bench.seconds("forecast", DAY, f"origin = '{wire(day_start(DAY) + 700 * WINDOW)}'")
    print(f"one origin of all markets: {cold:.2f} s cold, {warm:.2f} s warm ({rows} rows)")


def _forecast(origin: datetime, names: list[str], price: np.ndarray, rng: np.random.Generator) -> pa.Table:
    size, horizons = len(names) * len(HORIZONS), np.tile(HORIZONS, len(names))
    at, tick = np.repeat(price, len(HORIZONS)), np.repeat(10 ** np.floor(np.log10(price) - 3), len(HORIZONS))
    spread = {name: (i - 4) * 0.0004 * np.sqrt(horizons) for i, name in enumerate(QUANTILE_COLUMNS)}
    columns = {
        "market": np.repeat(names, len(HORIZONS)),
        "origin": [wire(origin)] * size,
        "horizon": horizons,
        "target": [wire(origin + timedelta(minutes=h)) for h in HORIZONS] * len(names),
        **{name: np.round(at * (1 + wide) / tick) * tick for name, wide in spread.items()},
        "expected_volume": rng.lognormal(0, 1, size),
        "volatility": rng.lognormal(-7, 0.3, size),
        "model_version": ["20261124T1500Z"] * size,
        "issued_utc": ["2026-11-24T15:00:20"] * size,
    }
    return pa.table(columns, schema=FORECAST_SCHEMA)


def rest(bench: Bench) -> None:
    """What listing a closed day costs."""
    began = time.perf_counter()
    for _ in range(100):
        ledger.list_day(bench.lake, "candle", DAY)
    print(f"\nlisting a closed day: {(time.perf_counter() - began) * 10:.1f} ms")
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB")


@click.command()
@click.option("--markets", default=289, show_default=True)
@click.option("--without", "plain", is_flag=True, help="Also the day as 720 small files.")
def main(markets: int, plain: bool) -> None:
    """Measure and print."""
    made = windows(DAY, markets)
    with tempfile.TemporaryDirectory() as folder, daemons(Path(folder), dataset="bench") as settings:
        bench = Bench(settings)
        rows = sum(table.num_rows for table, _ in made)
        print(f"{markets} markets, {rows} candles in {len(made)} windows; compacted at {publish.MOST_FILES} files")
        candles(bench, made)
        forecasts(bench, markets)
        if plain:
            without(bench, made)
        rest(bench)


if __name__ == "__main__":
    main()
