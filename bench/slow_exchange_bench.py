"""Live runs of 289 markets, by the wall clock, while the candle endpoint hangs for all markets or for some.

    python bench/slow_exchange_bench.py [--what candles=hang] [--runs 10] [--markets 289] [--latency 0.1]

A replica over HTTP, HDFS in memory, one run every two minutes: healthy ones, `--runs` with `--what` wrong (as
UPBIT_REPLICA_OUTAGE_FILE takes it), then healthy ones (`again`) until nothing is missing. Prints each run's seconds,
candles and holes; at the end the lake against the exchange, value by value.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO / "plugins"), str(REPO)]

import click

from tests.support.hdfs import MemoryHdfs
from upbit_elt.candle import Candle, days_between, from_table
from upbit_elt.clock import SystemClock
from upbit_elt.collect.collector import Collector
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.lake import ledger
from upbit_elt.lake.coverage import merge
from upbit_elt.lake.read import read_day, read_sources
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.replica import SyntheticSource, create_replica, inject, truth
from upbit_elt.replica.app import utc_now
from upbit_elt.replica.outage import from_file
from upbit_elt.replica.server import running
from upbit_elt.settings import Settings

CADENCE = 120


class Bench:
    """One exchange and one lake."""

    def __init__(self, stack: ExitStack, folder: Path, markets: int, latency: float) -> None:
        self.outage = folder / "outage"
        self.source = SyntheticSource(seed=0, markets=markets)
        app = create_replica(self.source, latency=latency)
        inject(app, utc_now, 0, {}, outages=from_file(self.outage))
        self.url = stack.enter_context(running(app))
        self.settings = Settings.model_validate({"base_url": self.url, "state_dir": folder / "state"})
        self.lake = Lake(MemoryHdfs(SystemClock()).client(), self.settings.lake_root)
        self.first: datetime | None = None

    def run(self, label: str) -> int:
        """One live run at the next even minute; how many markets it left with a hole."""
        time.sleep(CADENCE - time.time() % CADENCE + 1)
        began, clock = time.monotonic(), SystemClock()
        with closing(UpbitClient.from_settings(self.settings, clock)) as client:
            collected = Collector(client, self.lake, self.settings, clock).run(f"bench-{datetime.now():%H%M}")
        took = time.monotonic() - began
        known = ledger.live_coverage(self.lake)
        assert known is not None
        self.first = self.first or collected.start
        why = Counter(span.reason.value for span in known.holes())
        print(
            f"{datetime.now():%H:%M:%S} {label:8} {took:5.1f} s, {collected.requested:3} requested, "
            f"{collected.candles:5} candles, up to {known.end:%H:%M}, holes {dict(why)}",
            flush=True,
        )
        return sum(why.values())

    def audit(self) -> None:
        """The lake against the exchange."""
        known = ledger.live_coverage(self.lake)
        assert known is not None
        assert self.first is not None
        days = list(days_between(self.first, known.end))
        ours = {c for day in days for c in from_table(read_day(self.lake, day))}
        theirs: set[Candle] = set()
        for market in known.watermark:
            theirs.update(truth(self.source, market, self.first, known.end))
        rows = sum(table.num_rows for day in days for table in read_sources(self.lake, day)[0])
        holes = [span for day in days for span in merge(read_sources(self.lake, day)[1], "bench").holes()]
        keys = Counter((c.market, c.start) for c in ours)
        print(
            f"{self.first:%H:%M} to {known.end:%H:%M} UTC, {len(known.watermark)} markets: the exchange has "
            f"{len(theirs)} candles, the lake {len(ours)}; lost {len(theirs - ours)}, "
            f"altered or more {len(ours - theirs)}, doubled {rows - len(keys)}, holes left {len(holes)}"
        )


@click.command()
@click.option("--what", default="candles=hang")
@click.option("--runs", default=10)
@click.option("--healthy", default=1, help="Runs before.")
@click.option("--markets", default=289)
@click.option("--latency", default=0.1)
def main(what: str, runs: int, healthy: int, markets: int, latency: float) -> None:
    """Runs while something is wrong with the exchange."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        bench = Bench(stack, Path(folder), markets, latency)
        for _ in range(healthy + 1):  # the very first brings 200 minutes
            bench.run("healthy")
        bench.outage.write_text(what)
        for _ in range(runs):
            bench.run("wrong")
        bench.outage.unlink()
        left = bench.run("again")
        while left:
            left = bench.run("again")
        bench.audit()


if __name__ == "__main__":
    main()
