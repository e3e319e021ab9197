"""A collector in a process of its own, that can be killed -9 at any step: what a worker or the command line is."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from flask import Flask

from tests.support.clock import ManualClock
from tests.support.hooks import hooked
from upbit_elt.clock import MachineClock
from upbit_elt.collect.collector import Collector
from upbit_elt.errors import UpbitEltError
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.limits import AddressLimits
from upbit_elt.flows import min_candle
from upbit_elt.replica import running
from upbit_elt.settings import Settings

REFUSED = 3  # exit code of a run that ended with an error of ours
Dies = Callable[[int, str, str], bool]


class WarpClock:
    """Real time since `origin` (of CLOCK_MONOTONIC, the same in all processes) made `speed` times faster."""

    def __init__(self, start: datetime, speed: float, origin: float | None = None) -> None:
        self.start, self.speed = start, speed
        self.origin = time.monotonic() if origin is None else origin

    def now(self) -> datetime:
        return self.start + timedelta(seconds=(time.monotonic() - self.origin) * self.speed)

    def __call__(self) -> datetime:
        return self.now()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self.speed)

    def monotonic(self) -> float:
        """Real seconds: those of timeouts."""
        return time.monotonic()

    def since_boot(self) -> float:
        return self.now().timestamp()

    def boot(self) -> str:
        return "warped"


@dataclass(frozen=True)
class Job:
    """One run at `now`; `dies(number, step, path)` says before which step the process kills itself."""

    settings: Settings
    base_url: str
    state: Path
    dies: Dies | None = None
    log: Path | None = field(default=None)


def collect_once(job: Job, clock: MachineClock) -> None:
    """One live run, shown in Hive."""
    steps = 0

    def hook(step: str, path: str) -> None:
        nonlocal steps
        steps += 1
        if job.log:
            job.log.write_text(f"{step} {path.removeprefix(job.settings.lake_root)[:90]}")
        if job.dies and job.dies(steps, step, path):
            os.kill(os.getpid(), signal.SIGKILL)

    lake, hive = hooked(job.settings, hook)
    client = UpbitClient(job.base_url, AddressLimits(job.state, 1000, clock), clock, timeout=2.0)
    collected = Collector(client, lake, job.settings, clock).run(f"worker-{os.getpid()}")
    min_candle.register_in(hive, lake, job.settings, [published.day for published in collected.files])


def run_at(job: Job, now: datetime) -> None:
    """Body of a process: one run at `now` of a hand-turned clock. Exits with REFUSED after an error of ours."""
    _quietly(collect_once, job, ManualClock(now))


def run_until(job: Job, clock: WarpClock, end: datetime) -> None:
    """Body of a process: run after run, every two minutes of its clock, until `end`."""
    while clock.now() < end:
        try:
            collect_once(job, clock)
        except UpbitEltError as error:
            print(f"{type(error).__name__}: {str(error)[:90]}")
        clock.sleep(120 - clock.now().timestamp() % 120)


def spawn(target: Callable[..., None], *arguments: Any) -> multiprocessing.process.BaseProcess:
    """Start a process that inherits nothing but its arguments."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.worker"])
    child = context.Process(target=target, args=arguments)
    child.start()
    return child


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The replica over HTTP, its own rate limit never met: each request comes from another address."""
    inner = app.wsgi_app

    def anonymous(environ: Any, start_response: Any) -> Any:
        return inner(environ | {"REMOTE_ADDR": uuid4().hex}, start_response)

    app.wsgi_app = anonymous  # type: ignore[method-assign]
    try:
        with running(app) as url:
            yield url
    finally:
        app.wsgi_app = inner  # type: ignore[method-assign]


def _quietly(body: Callable[..., None], *arguments: Any) -> None:
    try:
        body(*arguments)
    except UpbitEltError as error:
        print(f"{type(error).__name__}: {error}")
        raise SystemExit(REFUSED) from None
