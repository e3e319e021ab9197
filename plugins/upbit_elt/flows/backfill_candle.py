"""The steps of the backfill, as the DAG `backfill_candle` and the command line call them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from upbit_elt.backfill.old_files import Adopted, adopt, survey
from upbit_elt.backfill.planner import Backfill, BackfillResult
from upbit_elt.backfill.time_budget import BEFORE, TimeBudget, next_live_run
from upbit_elt.backfill.worker import WorkProgress
from upbit_elt.candle import KST
from upbit_elt.clock import Clock, SystemClock
from upbit_elt.errors import ConfigError
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.flows import min_candle
from upbit_elt.lake.backfill_queue import BackfillQueue, Request, check_markets, make_request
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive

log = logging.getLogger(__name__)


def request(settings: Settings, wanted: Request) -> Request:
    """Add a backfill request to the queue; returns the queued one (see BackfillQueue.add).

    Raises:
        UnknownMarket: the exchange does not list one of the markets.
        ExchangeError: market/all fails.
    """
    if wanted.markets:
        with closing(UpbitClient.from_settings(settings)) as client:
            check_markets(client, wanted.markets)
    return queue(settings).add(wanted)


def take_form(settings: Settings, form: Mapping[str, Any], run_id: str, sent: datetime) -> None:
    """Act on the DAG's form: add a backfill request (see `wanted_by`), or cancel the one whose ID `cancel` gives.

    Raises:
        ConfigError: a field is wrong, or missing.
        UnknownMarket, ExchangeError: as `request`.
    """
    if form.get("cancel"):
        log.info("%s", queue(settings).cancel(form["cancel"].strip()))
    elif wanted := wanted_by(form, run_id, sent):
        log.info("request %s", request(settings, wanted))


def wanted_by(form: Mapping[str, Any], run_id: str, sent: datetime) -> Request | None:
    """The backfill request of a form; None when the form is empty.

    `start` and `end` are KST days `yyyy-MM-dd`, the last included; without `markets` it is for all collected ones.
    `sent` (UTC) is when the form was sent, the same for every try of the run's task: an empty `end` means until then.

    Raises:
        ConfigError: a field is wrong, or missing.
    """
    if not form.get("start"):
        if form.get("end") or form.get("markets"):
            raise ConfigError("the first day is missing: no history is requested")
        return None
    end = _midnight(form["end"]) + timedelta(days=1) if form.get("end") else sent
    return make_request(_midnight(form["start"]), end, form.get("markets") or (), sent, run_id)


def summary(progress: BackfillResult) -> dict[str, Any]:
    """The outcome of a run as JSON values, for Airflow's UI."""
    return {
        "candles": progress.candles,
        "published": [item._asdict() for item in progress.published[:20]],
        "left": list(progress.left),
        "open": [str(item) for item in progress.requests],
        "busy": progress.busy,
        "troubles": dict(progress.troubles),
    }


def _midnight(text: str) -> datetime:
    """The start of a KST day `yyyy-MM-dd`."""
    try:
        return datetime.combine(date.fromisoformat(text), time(), KST)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no day: write it as 2026-11-24") from error


def go_on(settings: Settings, run_id: str, until: datetime | None = None) -> BackfillResult:
    """Fetch the days of `history_days` and those of backfill requests, until `until` (UTC); register finished days.

    Without `until` it ends shortly before the next live run, and does nothing while one is in progress.
    """
    clock, lake = SystemClock(), Lake.from_settings(settings)
    with closing(UpbitClient.from_settings(settings, clock)) as client:
        end = until or next_live_run(clock.now()) - BEFORE
        time_budget = TimeBudget(lake, clock, end, patient=until is not None)
        return _backfill(settings, client, lake, clock).run(run_id, time_budget)


def work_off(
    settings: Settings,
    wanted: Request,
    run_id: str,
    on_progress: Callable[[WorkProgress], object],
    stopped: Callable[[], bool],
) -> Request | None:
    """Work on one request between the live runs until it is done, or `stopped()` is true.

    Returns the request afterwards; None when it was cancelled.

    Raises:
        LeaseHeld: another backfill holds the lease.
    """
    clock, lake = SystemClock(), Lake.from_settings(settings)
    with closing(UpbitClient.from_settings(settings, clock)) as client:
        time_budget = TimeBudget(lake, clock, patient=True, stopped=stopped)
        return _backfill(settings, client, lake, clock, on_progress).work(run_id, wanted, time_budget)


def adopt_folder(settings: Settings, folder: Path) -> Adopted:
    """Import the old pipeline's Parquet files in a folder and register their days. Raises BadFile before publishing."""
    return adopt_in(Hive.from_settings(settings), Lake.from_settings(settings), settings, SystemClock(), folder)


def adopt_in(hive: Hive, lake: Lake, settings: Settings, clock: Clock, folder: Path) -> Adopted:
    """As `adopt_folder`, for this lake and this Hive."""
    sources = survey(folder)
    found = adopt(lake, sources, clock)
    min_candle.register_in(hive, lake, settings, [day for source in sources for day in source.days()])
    return found


def queue(settings: Settings) -> BackfillQueue:
    """The backfill queue of the lake that the settings name."""
    return BackfillQueue(Lake.from_settings(settings))


def _backfill(
    settings: Settings,
    client: UpbitClient,
    lake: Lake,
    clock: Clock,
    on_progress: Callable[[WorkProgress], object] = lambda progress: None,
) -> Backfill:
    """The backfill that registers each day in Hive once it is published."""

    def on_published(day: str) -> None:
        min_candle.register(settings, [day])

    return Backfill(client, lake, settings, clock, on_published=on_published, on_progress=on_progress)
