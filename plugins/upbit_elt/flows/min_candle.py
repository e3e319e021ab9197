"""The steps of the DAG `min_candle`, every 2 minutes: new closed candles into HDFS, and their days into Hive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing

from upbit_elt.clock import SystemClock
from upbit_elt.collect.collected import Collected
from upbit_elt.collect.collector import Collector
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive
from upbit_elt.warehouse.register import DailyTable
from upbit_elt.warehouse.register import register as register_pending


def collect(settings: Settings, run_id: str) -> Collected:
    """Bring the lake up to the last closed minute. Raises as Collector.run."""
    clock = SystemClock()
    with closing(UpbitClient.from_settings(settings, clock)) as client:
        return Collector(client, Lake.from_settings(settings), settings, clock).run(run_id)


def register(settings: Settings, wanted: Iterable[str], folders: Mapping[str, str] | None = None) -> list[str]:
    """Register the current snapshots of KST days, and all with a pending marker; returns the changed days of candles.

    `folders` are the snapshots in which the days' candles were published, where known.

    Raises:
        WarehouseError: not all days are registered; run it again.
    """
    return register_in(Hive.from_settings(settings), Lake.from_settings(settings), settings, wanted, folders)


def register_in(
    hive: Hive, lake: Lake, settings: Settings, wanted: Iterable[str], folders: Mapping[str, str] | None = None
) -> list[str]:
    """As `register`, for this lake and this Hive."""
    touched = {DailyTable("candle", day): (folders or {}).get(day) for day in wanted}
    return [day for kind, day in register_pending(lake, hive, settings, touched) if kind == "candle"]
