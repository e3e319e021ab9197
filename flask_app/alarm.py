"""Finds out from what the service knows what is wrong with the data, and notifies the webhook once of each trouble."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from flask_app.daemons import NameNode
from flask_app.follow import Follower
from flask_app.forecasts import Forecasts
from flask_app.window import Window
from upbit_elt import backups
from upbit_elt.clock import Clock
from upbit_elt.errors import StateUnavailable
from upbit_elt.settings import Settings
from upbit_elt.troubles import Trouble, Troubles, UnstoredTrouble

log = logging.getLogger(__name__)
# A trouble is reported once it has lasted PATIENCE; it counts as over when it was not seen for OVER_AFTER.
PATIENCE, OVER_AFTER = timedelta(minutes=1), timedelta(minutes=2)
QUARANTINE = 0.1  # share of the listed markets above which quarantined or late rows are reported
FREE, ROOM = 0.1, 20e9  # a disk is nearly full below both: this share of it free, and this many bytes
UNKNOWN = None


class Disk(Protocol):
    """Size and free space of a disk in bytes, as shutil.disk_usage gives them."""

    @property
    def total(self) -> int:
        """Size of the disk, bytes."""

    @property
    def free(self) -> int:
        """Free space of the disk, bytes."""


class Alarm:
    """Reports troubles each time the watch checks. `troubles` also holds those that Airflow's tasks report."""

    def __init__(
        self,
        settings: Settings,
        follower: Follower,
        forecasts: Forecasts,
        troubles: Troubles,
        clock: Clock,
        disk: Callable[[Path], Disk],
    ) -> None:
        self._settings, self._clock, self._troubles, self._disk = settings, clock, troubles, disk
        self._follower, self._forecasts = follower, forecasts
        self._first: dict[str, datetime] = {}
        self._unstored = UnstoredTrouble.from_settings(settings, clock)

    def check(self, away: str, namenode: NameNode | None) -> None:
        """Report what is wrong and send the notifications that are due.

        `away` says why HDFS or Hive does not answer, "" when both do; `namenode` is None when it does not answer. A
        webhook that does not answer is logged and changes nothing. While the state folder cannot be written, only that
        is sent, with what was wrong when it began.
        """
        unstored, current = "", self._current_troubles(away, namenode)
        try:
            self._report(current)
            self._troubles.notify()
        except (StateUnavailable, OSError) as error:
            log.warning("troubles cannot be stored: %s", error)
            wrong = [words for words in current.values() if words]
            # Hive's message about a full disk is long, and a chat truncates it, so it comes last
            unstored = "; ".join([str(error), *reversed(wrong)])
        self._unstored.update(unstored)

    def _report(self, current: Mapping[str, str | None]) -> None:
        now = self._clock.now()
        self._first = {key: self._first.get(key, now) for key, words in current.items() if words}
        for key, words in current.items():
            if words and now - self._first[key] >= PATIENCE:
                self._troubles.report(Trouble(key, words, now + OVER_AFTER))
            elif words != "":
                self._troubles.renew(key, now + OVER_AFTER)

    def _current_troubles(self, away: str, namenode: NameNode | None) -> dict[str, str | None]:
        """Description of each trouble by its key: "" where all is well, UNKNOWN where it cannot be known now."""
        now, window = self._clock.now(), self._follower.known
        data = away or self._stale(window, now)
        return {
            "data": data,
            # old candles make forecasts old; rows in quarantine may be why candles are old
            "forecasts": UNKNOWN if data or window is None else self._old_forecast(now),
            "quarantine": UNKNOWN if away or window is None else _quarantine(window),
            "disk": self._full_disk(namenode),
            "backup": backups.trouble(self._settings.state_dir, now) if self._settings.backup_folder else "",
        }

    def _stale(self, window: Window | None, now: datetime) -> str:
        limit = timedelta(minutes=self._settings.stale_minutes)
        if window is None or now - window.freshness.covered_until <= limit:
            return ""
        return window.freshness.words(now, limit) or "no market is listed any more"

    def _old_forecast(self, now: datetime) -> str:
        forecast = self._forecasts.known
        if forecast is None or now - forecast.origin <= 2 * timedelta(minutes=self._settings.stale_minutes):
            return ""
        minutes = int((now - forecast.origin).total_seconds()) // 60
        return f"forecasts are stale, the newest is of {forecast.origin:%Y-%m-%dT%H:%MZ}, {minutes} min ago"

    def _full_disk(self, namenode: NameNode | None) -> str:
        disk = self._disk(self._settings.state_dir)
        full = []
        if nearly_full(disk.free, disk.total):
            full.append(f"{disk.free / disk.total:.0%} of the disk of {self._settings.state_dir} are free")
        if namenode and nearly_full(namenode.free, namenode.capacity):
            full.append(f"{namenode.free / namenode.capacity:.0%} of HDFS are free")
        return ", ".join(full)


def nearly_full(free: int, size: int) -> bool:
    """Whether a disk (sizes in bytes) is nearly full; a tenth of a large disk is still enough."""
    return free < FREE * size and free < ROOM


def _quarantine(window: Window) -> str:
    held = {recheck.market for recheck in window.coverage.rechecks or () if recheck.state == "hole"}
    listed = len(window.freshness.markets)
    if len(held) <= QUARANTINE * listed:
        return ""
    return f"{len(held)} of {listed} markets have rows that failed validation, or are late"
