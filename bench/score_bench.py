"""How long the scoring of a whole day takes, in what memory, and how large its scores are: 289 markets, 720 origins.

    python bench/score_bench.py [MARKETS]

All of it runs in this process, on a lake in memory: what HDFS and Hive take comes on top.
"""

from __future__ import annotations

import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1] / "plugins"), str(Path(__file__).parents[1])]

import numpy as np
import pyarrow as pa

from tests.support.clock import ManualClock
from tests.support.hdfs import MemoryHdfs
from tests.support.hive import MemoryHive
from upbit_elt.candle import MINUTE, SCHEMA, day_end, day_start, kst_day, wire, wire_kst
from upbit_elt.flows.score_forecast import HISTORY_DAYS, Scorer
from upbit_elt.forecast.schema import FORECAST_SCHEMA, HORIZONS, QUANTILE_COLUMNS
from upbit_elt.lake import layout
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.parquet import encode
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings

DAY = "261124"


def candles(day: str, markets: list[str]) -> bytes:
    """A closed day of markets that trade in three minutes of four, on a random walk."""
    random = np.random.default_rng(int(day))
    start = day_start(day)
    minutes = [start + number * MINUTE for number in range(1440)]
    utc, kst = np.array([wire(m) for m in minutes]), np.array([wire_kst(m) for m in minutes])
    parts = []
    for market in markets:
        pick = np.flatnonzero(random.random(1440) < 0.75)
        price = np.round(1000 * np.exp(np.cumsum(random.normal(0, 5e-4, 1440))))[pick]
        one = np.ones(len(pick))
        values = [[market] * len(pick), utc[pick], kst[pick], price, price, price, price, one, one, one, one]
        parts.append(pa.table([pa.array(v).cast(f.type) for v, f in zip(values, SCHEMA, strict=True)], schema=SCHEMA))
    end = day_end(day)
    spans = tuple(Span(market, start, end, "asked") for market in markets)
    return encode(pa.concat_tables(parts), Coverage(start, end, "bench", spans, dict.fromkeys(markets, end)))


def forecasts(markets: list[str]) -> bytes:
    """The forecasts of a day as its closing leaves them: one file, sorted by market, origin and horizon."""
    random, parts = np.random.default_rng(1), []
    origins = [day_start(DAY) + 2 * number * MINUTE for number in range(720)]
    keys = [(wire(o), h, wire(o + h * MINUTE), wire(o + timedelta(seconds=20))) for o in origins for h in HORIZONS]
    origin, horizon, target, issued = map(list, zip(*keys, strict=True))
    for market in markets:
        quantiles = np.sort(np.round(1000 * np.exp(random.normal(0, 0.01, (len(keys), 9)))), axis=1)
        columns: dict[str, Any] = {
            "market": [market] * len(keys),
            "origin": origin,
            "horizon": horizon,
            "target": target,
        }
        columns |= {name: quantiles[:, i] for i, name in enumerate(QUANTILE_COLUMNS)}
        columns |= {"expected_volume": quantiles[:, 0], "volatility": quantiles[:, 0]}
        columns |= {"model_version": ["20261124T1500Z"] * len(keys), "issued_utc": issued}
        parts.append(pa.table(columns, schema=FORECAST_SCHEMA))
    return encode(pa.concat_tables(parts))


def main() -> None:
    """Print seconds, memory and size."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 289
    markets = [f"KRW-M{number:03}" for number in range(count)]
    clock = ManualClock(datetime(2026, 11, 25, 16, 0, tzinfo=UTC))
    hdfs = MemoryHdfs(clock)
    settings = Settings(dataset="replica", base_url="http://exchange")
    lake = Lake(hdfs.client(), settings.lake_root)
    for number in range(-HISTORY_DAYS, 2):
        day = kst_day(day_start(DAY) + timedelta(days=number))
        folder = layout.complete_folder(lake.root, "candle", day, 1)
        hdfs.put(f"{folder}/candle.parquet", candles(day, markets))
    hdfs.put(f"{layout.complete_folder(lake.root, 'forecast', DAY, 1)}/forecast.parquet", forecasts(markets))
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    done = Scorer(lake, MemoryHive(hdfs).client(settings), settings, clock).run("bench")
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    made = next(made for made in done.made if made.day == DAY)
    size = len(hdfs.files()[f"{made.folder}/{made.file_name}"])
    print(f"{count} markets, {count * 720 * len(HORIZONS):,} forecasts, {HISTORY_DAYS + 2} days of candles read")
    print(f"{seconds:.1f} s, {after.ru_utime - before.ru_utime:.1f} s of CPU")
    print(
        f"most memory {after.ru_maxrss / 1024:.0f} MB, {before.ru_maxrss / 1024:.0f} MB of it before (the lake itself)"
    )
    print(f"{made.rows} rows of scores, {size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
