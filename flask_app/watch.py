"""The watch: a thread of the service that checks the age of the data, independently of Airflow.

While the data in memory is fresh, the watch sends nothing to HDFS or Hive, because the forecast after each live run
updates it. Only when the data grows old does the watch update it itself, as an open page does. The scores, which come
once an hour, it reads as often.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from threading import Thread

from flask_app.alarm import Alarm
from flask_app.daemons import NameNode, namenode
from flask_app.follow import Follower
from flask_app.forecasts import Forecasts
from flask_app.skill import Skill
from flask_app.window import Window
from upbit_elt.clock import Clock
from upbit_elt.errors import UpbitEltError
from upbit_elt.settings import Settings

log = logging.getLogger(__name__)
EVERY = 20.0  # seconds
# Data is read again this long before it would count as stale.
EARLY = timedelta(minutes=1)
NAMENODE_EVERY, FORECASTS_EVERY = timedelta(minutes=1), timedelta(minutes=5)
SCORES_EVERY = timedelta(hours=1)


class Watch:
    """Checks the data in memory every 20 seconds, and reads it again when it is old.

    `looked` is the time (UTC) of the last check, None before the first; `trouble` says why HDFS or Hive did not answer
    the last request, "" when they did; `namenode` is the NameNode's state, None when it does not answer.
    """

    def __init__(
        self, settings: Settings, follower: Follower, forecasts: Forecasts, skill: Skill, alarm: Alarm, clock: Clock
    ) -> None:
        self._settings, self._clock, self._alarm = settings, clock, alarm
        self._follower, self._forecasts, self._skill = follower, forecasts, skill
        self.looked: datetime | None = None
        self.trouble = ""
        self.namenode: NameNode | None = None
        self._asked: dict[str, datetime] = {}

    def start(self) -> None:
        """Check every 20 seconds from now on, in a thread that ends with the process."""
        Thread(target=self._run, name="watch", daemon=True).start()

    def look(self) -> None:
        """Check once and report what is wrong. Never raises: the next check follows in 20 seconds whatever happens.

        After an unexpected error `looked` keeps its old value, by which the alert WatchStopped notices it.
        """
        try:
            self._look()
        except Exception:  # broad on purpose: an error of our own must not end the thread
            log.exception("the watch failed; it tries again in %.0f s", EVERY)

    def _look(self) -> None:
        now = self._clock.now()
        if self._due("namenode", now, NAMENODE_EVERY):
            self.namenode = namenode(self._settings.webhdfs_url)
        try:
            if self._is_old(self._follower.known, now):
                self._follower.window()
            if self._forecasts.known is None and self._due("forecasts", now, FORECASTS_EVERY):
                self._forecasts.latest()
            if self._due("scores", now, SCORES_EVERY):
                self._skill.look()
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
