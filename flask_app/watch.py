"""Looks after the age of the data, outside of Airflow: a thread of the service.

While what the service knows is fresh, nothing is asked of HDFS or Hive: each live run and each forecast tells it. Only
when that grows old does it look by itself, as an open page does.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from threading import Thread

from flask_app.alarm import Alarm
from flask_app.daemons import NameNode, namenode
from flask_app.follow import Follower
from flask_app.forecasts import Forecasts
from flask_app.window import Window
from upbit_elt.clock import Clock
from upbit_elt.errors import UpbitEltError
from upbit_elt.settings import Settings

log = logging.getLogger(__name__)
EVERY = 20.0  # seconds
# So much before it would be stale, what is known is looked at anew.
EARLY = timedelta(minutes=1)
NAMENODE_EVERY, FORECASTS_EVERY = timedelta(minutes=1), timedelta(minutes=5)


class Watch:
    """What is known of the data without asking, and a `look` that asks when it must.

    `looked` is when (UTC) it looked last, None before; `trouble` why HDFS or Hive did not answer when they were asked
    last, "" when they did; `namenode` what the NameNode said of itself, None when it does not.
    """

    def __init__(
        self, settings: Settings, follower: Follower, forecasts: Forecasts, alarm: Alarm, clock: Clock
    ) -> None:
        self._settings, self._clock, self._alarm = settings, clock, alarm
        self._follower, self._forecasts = follower, forecasts
        self.looked: datetime | None = None
        self.trouble = ""
        self.namenode: NameNode | None = None
        self._asked: dict[str, datetime] = {}

    def start(self) -> None:
        """Look every 20 seconds from now on, in a thread that ends with the process."""
        Thread(target=self._run, name="watch", daemon=True).start()

    def look(self) -> None:
        """One look; what is wrong is told. Nothing is raised: the next look is in 20 seconds, whatever happened.

        After an error that nobody foresaw, `looked` stays where it was, by which the alert WatchStopped sees it.
        """
        try:
            self._look()
        except Exception:  # the hole: an error of our own must not end the thread
            log.exception("the watch could not look; it tries again in %.0f s", EVERY)

    def _look(self) -> None:
        now = self._clock.now()
        if self._due("namenode", now, NAMENODE_EVERY):
            self.namenode = namenode(self._settings.webhdfs_url)
        try:
            if self._is_old(self._follower.known, now):
                self._follower.window()
            if self._forecasts.known is None and self._due("forecasts", now, FORECASTS_EVERY):
                self._forecasts.newest()
            trouble = ""
        except UpbitEltError as error:
            trouble = str(error)
        if trouble != self.trouble:
            log.warning("the watch: %s", trouble or "HDFS and Hive answer again")
        self.trouble = trouble
        self._alarm.check(trouble, self.namenode)
        self.looked = self._clock.now()

    def _run(self) -> None:
        while True:
            self.look()
            self._clock.sleep(EVERY)

    def _is_old(self, window: Window | None, now: datetime) -> bool:
        limit = timedelta(minutes=self._settings.stale_minutes) - EARLY
        return window is None or now - window.freshness.covered_until > limit

    def _due(self, what: str, now: datetime, every: timedelta) -> bool:
        if what in self._asked and now - self._asked[what] < every:
            return False
        self._asked[what] = now
        return True
