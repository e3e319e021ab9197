"""A backfill of 30 days x 5 markets beside live runs, on real daemons and the wall clock, printed.

`UPBIT_RUN_JARS_DIR=... python bench/backfill_bench.py [--days 30] [--markets 5] [--listed 100]`. A replica of the
exchange with its real limit serves both; a live run starts at every even minute, as its DAG would. Printed: candles a
second against the 2,000 that the limit allows, requests a second against 10, 429s, live runs missed or late, and the
backfill's memory over its days.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO / "plugins"), str(REPO)]

import click
import psutil
from flask import Response, request

from bench.daemons import daemons
from upbit_elt.backfill.time_budget import next_live_run
from upbit_elt.candle import KST, day_end, kst_day
from upbit_elt.lake import ledger
from upbit_elt.lake.backfill_queue import BackfillQueue
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.replica import SyntheticSource, create_replica, running
from upbit_elt.stack import environment

LATE = 60.0  # seconds after which a live run is called late: half of its cadence


def live_runs(variables: dict[str, str], stop: threading.Event, took: list[tuple[datetime, float, bool]]) -> None:
    """Start `collect` at every even minute until `stop` is set."""
    while not stop.is_set():
        start = next_live_run(datetime.now(UTC))
        if stop.wait((start - datetime.now(UTC)).total_seconds()):
            return
        done = subprocess.run([sys.executable, "-m", "upbit_elt", "collect"], env=variables, check=False)
        took.append((start, (datetime.now(UTC) - start).total_seconds(), done.returncode == 0))


def ended_within(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for a process, so long at most; whether it has ended."""
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def report(days: int, codes: Counter[int], requests: int, begun: float, ended: float, candles: int) -> None:
    """The figures of the exchange's side."""
    seconds = ended - begun
    print(f"{candles} candles of {days} days in {seconds:.0f} s: {candles / seconds:.0f} candles/s of 2,000")
    print(f"{requests} candle requests of all: {requests / seconds:.1f}/s of 10; answers by status: {dict(codes)}")


@click.command()
@click.option("--days", default=30)
@click.option("--markets", default=5)
@click.option("--listed", default=100, help="Markets that the live runs collect.")
@click.option("--live/--alone", default=True, help="Whether live runs go on.")
def main(days: int, markets: int, listed: int, live: bool) -> None:
    """Run it and print."""
    source = SyntheticSource(seed=3, markets=listed)
    app, codes, counted = create_replica(source), Counter[int](), list[float]()

    @app.after_request
    def count(response: Response) -> Response:
        codes[response.status_code] += 1
        if "/candles/" in request.path:
            counted.append(time.monotonic())
        return response

    with ExitStack() as running_now:
        folder = Path(running_now.enter_context(tempfile.TemporaryDirectory()))
        url = running_now.enter_context(running(app))
        settings = running_now.enter_context(daemons(folder, dataset="replica", base_url=url))
        variables = os.environ | environment.application(settings) | {"PYTHONPATH": str(REPO / "plugins")}
        collect = [sys.executable, "-m", "upbit_elt", "collect"]
        subprocess.run(collect, env=variables, check=True)

        took: list[tuple[datetime, float, bool]] = []
        stop = threading.Event()
        thread = threading.Thread(target=live_runs, args=(variables, stop, took))
        if live:
            thread.start()
        end = day_end(kst_day(datetime.now(UTC) - timedelta(days=2)))
        chosen = [market.code for market in source.markets()][:markets]
        spans = (
            "--from",
            f"{end.astimezone(KST) - timedelta(days=days):%Y-%m-%d}",
            "--to",
            f"{end.astimezone(KST):%Y-%m-%d}",
        )
        arguments = ["backfill", *spans, *(word for code in chosen for word in ("--market", code))]
        lake = Lake.from_settings(settings)
        codes.clear()
        counted.clear()
        begun = time.monotonic()
        memory: list[tuple[int, int]] = []
        with subprocess.Popen([sys.executable, "-m", "upbit_elt", *arguments], env=variables) as child:
            watched = psutil.Process(child.pid)
            while not ended_within(child, 2):
                if watched.is_running() and watched.status() != psutil.STATUS_ZOMBIE:
                    memory.append((len(ledger.days(lake, "candle")), watched.memory_info().rss >> 20))
        ended = time.monotonic()
        stop.set()
        if live:
            thread.join()
        (done,) = BackfillQueue(lake).all()
        report(days, codes, len([moment for moment in counted if moment <= ended]), begun, ended, done.candles)
        slow = [seconds for _, seconds, _ in took if seconds > LATE]
        failed = [start for start, _, fine in took if not fine]
        print(
            f"live runs: {len(took)}, failed {len(failed)}, late {len(slow)}; seconds after the even minute: "
            + ", ".join(f"{seconds:.0f}" for _, seconds, _ in took)
        )
        print(
            "memory (days in the lake: MB): "
            + ", ".join(f"{n}: {mb}" for n, mb in memory[:: max(1, len(memory) // 12)])
        )


if __name__ == "__main__":
    main()
