"""Follows Hive: loads the recent window in bulk once, then fetches only new candles.

The newest coverage in the lake says which minutes are new; they are queried from Hive by the candles' start. When a
day was repaired or backfilled, the location of its partition has changed to another snapshot, and the whole window is
loaded again. A day that was only compacted or closed holds the same rows, and nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from threading import Lock

import pyarrow as pa
import pyarrow.compute as pc

from flask_app.rows import COLUMNS, partition_of, table_of
from flask_app.window import LENGTH, Window
from upbit_elt.candle import days_between, wire
from upbit_elt.clock import Clock
from upbit_elt.errors import WarehouseUnavailable
from upbit_elt.extract.bulk import load_readable
from upbit_elt.lake import ledger
from upbit_elt.lake.coverage import Coverage
from upbit_elt.lake.ledger import LiveFile
from upbit_elt.lake.snapshot import same_rows
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive, Statements
from upbit_elt.warehouse.tables import locations

# A live run reads a few minutes before its window again and may repair them.
OVERLAP = timedelta(minutes=10)
# For spans longer than this, reading Parquet in bulk is faster than rows through HiveServer2.
BULK_BEYOND = timedelta(hours=3)
LOOK_EVERY = timedelta(seconds=5)


class Follower:
    """Keeps the newest Window; at most one thread at a time updates it from Hive."""

    def __init__(self, settings: Settings, hive: Hive, lake: Lake, clock: Clock) -> None:
        self._settings, self._hive, self._lake, self._clock = settings, hive, lake, clock
        self._lock = Lock()
        self._window: Window | None = None
        self._looked: datetime | None = None
        self._live_file: LiveFile | None = None

    @property
    def known(self) -> Window | None:
        """The window in memory, however old; nothing is read. None before the first was loaded."""
        return self._window

    def window(self) -> Window | None:
        """The window for readers: at most LOOK_EVERY old, or the one in memory while another thread updates it.

        It is None while nothing was collected yet.

        Raises:
            LakeUnavailable, WarehouseUnavailable: HDFS or Hive does not answer.
        """
        if self._window is not None and self._lock.locked():
            return self._window
        if self._looked is not None and self._clock.now() - self._looked < LOOK_EVERY:
            return self._window
        return self.refresh()

    def refresh(self) -> Window | None:
        """Update the window to the newest minute that the lake covers and Hive has registered, and return it.

        Waits while another thread updates it.

        Raises:
            LakeUnavailable: HDFS does not answer.
            WarehouseUnavailable: Hive does not answer, or another thread's update takes too long.
        """
        if not self._lock.acquire(timeout=self._settings.hive_timeout):
            raise WarehouseUnavailable("the recent candles are still being loaded; try again in a moment")
        try:
            self._window = self._updated(self._window)
            self._looked = self._clock.now()
            pa.default_memory_pool().release_unused()  # a reload needs several times what the window keeps
            return self._window
        finally:
            self._lock.release()

    def _updated(self, window: Window | None) -> Window | None:
        known = self._live_file
        live_file = (known and ledger.following(self._lake, known)) or ledger.find_live_file(self._lake, known)
        if live_file is None or (window is not None and window.coverage == live_file.coverage):
            self._live_file = live_file
            return window
        recent = days_between(live_file.coverage.end - LENGTH, live_file.coverage.end)
        with self._hive.session() as session:
            folders = locations(session, self._settings, "candle", recent)
            if not _is_registered(live_file, folders):  # the day may have a newer snapshot than the one known here
                live_file = ledger.find_live_file(self._lake)
            if live_file is None or not _is_registered(live_file, folders):
                # The lake has a new day or snapshot that is not registered yet; that takes seconds.
                return window
            self._live_file, coverage = live_file, live_file.coverage
            since = self._changed_since(window, coverage, folders) if window else None
            if window and since:
                return Window(coverage, folders, self._extended(session, window.candles, since, coverage.end))
        return Window(coverage, folders, load_readable(self._lake, folders, coverage.end - LENGTH, coverage.end))

    def _extended(self, session: Statements, candles: pa.Table, since: datetime, end: datetime) -> pa.Table:
        rows = session.query(
            f"SELECT {COLUMNS} FROM {self._settings.database}.candle "  # noqa: S608
            "WHERE dt >= %(dt)s AND candle_date_time_utc >= %(since)s AND candle_date_time_utc < %(end)s",
            {"dt": partition_of(since), "since": wire(since), "end": wire(end)},
        )
        start = pc.field("candle_date_time_utc")
        recent_rows = candles.filter((start >= wire(end - LENGTH)) & (start < wire(since)))
        return pa.concat_tables([recent_rows, table_of(rows)]).combine_chunks()

    def _changed_since(self, window: Window, coverage: Coverage, folders: Mapping[str, str]) -> datetime | None:
        """First minute whose candles may have changed since `window`; None when any of them may have."""
        for day in days_between(coverage.end - LENGTH, window.end):
            if not self._same_rows(day, window.folders.get(day), folders.get(day)):
                return None
        old, new = window.coverage.watermark, coverage.watermark
        if new.keys() - old.keys():
            return None
        moved = [moment for market, moment in old.items() if new.get(market) != moment]
        since = min([window.end, *moved]) - OVERLAP
        return since if coverage.end - since <= BULK_BEYOND else None

    def _same_rows(self, day: str, old: str | None, new: str | None) -> bool:
        return old == new or (old is not None and new is not None and same_rows(self._lake, "candle", day, old, new))


def _is_registered(live_file: LiveFile, folders: Mapping[str, str]) -> bool:
    return folders.get(live_file.day) == live_file.snapshot.path
