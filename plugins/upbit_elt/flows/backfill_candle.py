"""Steps of the flow around history: what the DAG backfill_candle and the command line call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from upbit_elt.backfill.old_files import Adopted, adopt, survey
from upbit_elt.backfill.planner import History, Progress
from upbit_elt.backfill.time_budget import BEFORE, TimeBudget, next_live_run
from upbit_elt.backfill.worker import Tools, WorkProgress
from upbit_elt.candle import KST
from upbit_elt.clock import Clock, MachineClock, SystemClock
from upbit_elt.errors import ConfigError
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.flows import min_candle
from upbit_elt.lake.backfill_queue import BackfillQueue, Request, check_markets, make_request
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive

log = logging.getLogger(__name__)


def request(settings: Settings, wanted: Request) -> Request:
    """Put a request on the book; returns what holds.

    Raises:
        UnknownMarket: the exchange does not list one of the markets.
        ExchangeError: the exchange does not say what it lists.
    """
    if wanted.markets:
        with _client(settings, SystemClock()) as client:
            check_markets(client, wanted.markets)
    return queue(settings).add(wanted)


def take_form(settings: Settings, form: Mapping[str, Any], run_id: str, asked: datetime) -> None:
    """Do what the form of the DAG asks for: put down a request (see `wanted_by`), or `cancel` the one of that ID.

    Raises:
        ConfigError: a field is wrong, or missing.
        UnknownMarket, ExchangeError: as `request`.
    """
    if form.get("cancel"):
        log.info("%s", queue(settings).cancel(form["cancel"].strip()))
    elif wanted := wanted_by(form, run_id, asked):
        log.info("request %s", request(settings, wanted))


def wanted_by(form: Mapping[str, Any], run_id: str, asked: datetime) -> Request | None:
    """The request that a form stands for; None when it asks for nothing.

    `start` and `end` are KST days `yyyy-MM-dd`, the last included; `markets` are all that are collected when there is
    none. `asked` (UTC) is when the form was sent, the same each time a task of its run is tried: an empty `end` means
    until then.

    Raises:
        ConfigError: a field is wrong, or missing.
    """
    if not form.get("start"):
        if form.get("end") or form.get("markets"):
            raise ConfigError("the first day is missing: nothing was asked for")
        return None
    end = _midnight(form["end"]) + timedelta(days=1) if form.get("end") else asked
    return make_request(_midnight(form["start"]), end, form.get("markets") or (), asked, run_id)


def summary(progress: Progress) -> dict[str, Any]:
    """What a person reading the UI wants to know of a run."""
    return {
        "candles": progress.candles,
        "published": [item._asdict() for item in progress.published[:20]],
        "left": list(progress.left),
        "open": [str(item) for item in progress.requests],
        "busy": progress.busy,
        "troubles": dict(progress.troubles),
    }


def _midnight(text: str) -> datetime:
    """Begin of a KST day `yyyy-MM-dd`."""
    try:
        return datetime.combine(date.fromisoformat(text), time(), KST)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no day: write it as 2026-11-24") from error


def go_on(settings: Settings, run_id: str, until: datetime | None = None) -> Progress:
    """Bring in what is wanted and what was asked for, until `until` (UTC); None: until shortly before the next live
    run, and not while one is under way. Days that are done are shown in Hive.
    """
    clock, lake = SystemClock(), Lake.from_settings(settings)
    with _client(settings, clock) as client:
        end = until or next_live_run(clock.now()) - BEFORE
        time_budget = TimeBudget(lake, clock, end, patient=until is not None)
        return History(_tools(settings, client, lake, clock)).run(run_id, time_budget)


def work_off(
    settings: Settings,
    wanted: Request,
    run_id: str,
    on_progress: Callable[[WorkProgress], object],
    stopped: Callable[[], bool],
) -> Request | None:
    """Work on one request between the live runs until it is done, or `stopped` says so; None when somebody cancels it.

    Raises:
        LeaseHeld: another backfill is at work.
    """
    clock, lake = SystemClock(), Lake.from_settings(settings)
    with _client(settings, clock) as client:
        time_budget = TimeBudget(lake, clock, patient=True, stopped=stopped)
        return History(_tools(settings, client, lake, clock, on_progress)).work(run_id, wanted, time_budget)


def adopt_folder(settings: Settings, folder: Path) -> Adopted:
    """Take over the Parquet files of a folder, and show their days. Raises BadFile before anything is kept."""
    return adopt_in(Hive.from_settings(settings), Lake.from_settings(settings), settings, SystemClock(), folder)


def adopt_in(hive: Hive, lake: Lake, settings: Settings, clock: Clock, folder: Path) -> Adopted:
    """As `adopt_folder`, with a lake and a Hive that are there already."""
    sources = survey(folder)
    found = adopt(lake, sources, clock)
    min_candle.register_in(hive, lake, settings, [day for source in sources for day in source.days()])
    return found


def queue(settings: Settings) -> BackfillQueue:
    """The requests of the lake that the settings name."""
    return BackfillQueue(Lake.from_settings(settings))


def _tools(
    settings: Settings,
    client: UpbitClient,
    lake: Lake,
    clock: Clock,
    on_progress: Callable[[WorkProgress], object] = lambda progress: None,
) -> Tools:
    return Tools(
        client,
        lake,
        settings,
        clock,
        on_published=lambda day: min_candle.register(settings, [day]),
        on_progress=on_progress,
    )


@contextmanager
def _client(settings: Settings, clock: MachineClock) -> Iterator[UpbitClient]:
    client = UpbitClient.from_settings(settings, clock)
    try:
        yield client
    finally:
        client.close()
