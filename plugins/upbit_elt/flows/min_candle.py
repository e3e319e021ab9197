"""Every 2 minutes: all candles that have closed since the lake's watermark, into HDFS and Hive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from upbit_elt.clock import SystemClock
from upbit_elt.collect.collector import Collected, Collector
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive
from upbit_elt.warehouse.register import Day
from upbit_elt.warehouse.register import register as show_waiting


def collect(settings: Settings, run_id: str) -> Collected:
    """Bring the lake up to the last closed minute. Raises as Collector.run."""
    clock = SystemClock()
    client = UpbitClient.from_settings(settings, clock)
    try:
        return Collector(client, Lake.from_settings(settings), settings, clock).run(run_id)
    finally:
        client.close()


def register(settings: Settings, wanted: Iterable[str], folders: Mapping[str, str] | None = None) -> list[str]:
    """Make Hive show the current snapshot of KST days, and all else that waits for it (a run that died may have left
    it so); returns the days of candles that had to be changed.

    `folders` are those in which candles of the days were published, where that is known.

    Raises:
        WarehouseError: Hive did not do it; run it again.
    """
    return register_in(Hive.from_settings(settings), Lake.from_settings(settings), settings, wanted, folders)


def register_in(
    hive: Hive, lake: Lake, settings: Settings, wanted: Iterable[str], folders: Mapping[str, str] | None = None
) -> list[str]:
    """As `show`, with a lake and a Hive that are there already."""
    touched = {Day("candle", day): (folders or {}).get(day) for day in wanted}
    return [day for kind, day in show_waiting(lake, hive, settings, touched) if kind == "candle"]
