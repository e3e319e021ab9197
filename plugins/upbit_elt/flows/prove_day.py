"""The steps of reconciliation, as the DAG `prove_day` and the command line call them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import datetime, timedelta

from upbit_elt.clock import SystemClock
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.lake.layout import Kind
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality.reconcile import Reconciler, wanted
from upbit_elt.quality.reconciled_day import ReconciledDay
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive
from upbit_elt.warehouse.register import DailyTable
from upbit_elt.warehouse.register import register as register_pending

# The kinds whose snapshots a reconciliation may publish.
TOUCHED: tuple[Kind, ...] = ("candle", "reconciliation")


def prove(
    settings: Settings,
    run_id: str,
    until: datetime,
    chosen: Iterable[str] | None = None,
    *,
    wait: timedelta = timedelta(0),
    tick: Callable[[], None] = lambda: None,
) -> list[ReconciledDay]:
    """Reconcile KST days until `until` (UTC), and register repairs and results in Hive.

    Without `chosen` these are all days that are due. `tick` is called after each page that arrives.

    Raises:
        LeaseHeld: another reconciliation holds the lease for longer than `wait`.
        LakeError, WarehouseError: run it again.
    """
    clock = SystemClock()
    with closing(UpbitClient.from_settings(settings, clock)) as client:
        reconciler = Reconciler(client, Lake.from_settings(settings), settings, clock, tick=tick)
        return prove_in(Hive.from_settings(settings), reconciler, settings, run_id, until, chosen, wait=wait)


def prove_in(
    hive: Hive,
    reconciler: Reconciler,
    settings: Settings,
    run_id: str,
    until: datetime,
    chosen: Iterable[str] | None = None,
    *,
    wait: timedelta = timedelta(0),
) -> list[ReconciledDay]:
    """As `prove`, for this Hive and this reconciler."""
    days = wanted(reconciler.lake, reconciler.clock.now()) if chosen is None else list(chosen)
    reconciled = reconciler.run(run_id, days, until, retry=True, wait=wait) if days else []
    register_in(hive, reconciler.lake, settings, reconciled)
    return reconciled


def register(settings: Settings, reconciled: Iterable[ReconciledDay]) -> list[DailyTable]:
    """Register repaired days and all results in Hive; returns the days (of any kind) that changed.

    It also registers what a run that died left pending.
    """
    return register_in(Hive.from_settings(settings), Lake.from_settings(settings), settings, reconciled)


def register_in(hive: Hive, lake: Lake, settings: Settings, reconciled: Iterable[ReconciledDay]) -> list[DailyTable]:
    """As `register`, for this lake and this Hive."""
    days = [one.day for one in reconciled if not one.trouble]
    touched: dict[DailyTable, str | None] = {DailyTable(kind, day): None for kind in TOUCHED for day in days}
    return register_pending(lake, hive, settings, touched)
