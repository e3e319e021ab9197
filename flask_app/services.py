"""What the views of an app share: settings, Hive, lake and clock, and one instance of each cache built on them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import cast

from flask import Flask, current_app

from flask_app.alarm import Alarm, Disk
from flask_app.days import Calendar
from flask_app.failing import FailingDags
from flask_app.follow import Follower
from flask_app.forecaster import Forecaster
from flask_app.forecasts import Forecasts
from flask_app.skill import Skill
from flask_app.slots import Slots
from flask_app.watch import Watch
from upbit_elt.clock import Clock
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.troubles import Troubles
from upbit_elt.warehouse.hive import Hive

_KEY = "upbit_elt"
# Requests of each kind that may run at once. They take seconds; the rest of gunicorn's 8 threads serve page and health.
EXTRACTS, SEARCHES = 2, 3


@dataclass(frozen=True)
class Services:
    """Connections to the outside, and caches: recent candles, newest forecast, champion, days, scores, errors of DAGs.

    `extract_trouble` says why this machine cannot write Tableau extracts, "" where it can; `scratch` is the folder in
    which they are written (None: the system's temporary folder). `disk` gives size and free space of a folder's disk.
    `extracts` and `history` limit how many expensive requests run at once: extracts (until they are sent), and
    searches of older days in Hive.
    """

    settings: Settings
    hive: Hive
    lake: Lake
    clock: Clock
    extract_trouble: str = ""
    scratch: Path | None = None
    disk: Callable[[Path], Disk] = field(default=shutil.disk_usage)
    extracts: Slots = field(default_factory=lambda: Slots(EXTRACTS, "extracts are being made or fetched"))
    history: Slots = field(default_factory=lambda: Slots(SEARCHES, "searches of older days are under way"))
    follower: Follower = field(init=False)
    forecasts: Forecasts = field(init=False)
    forecaster: Forecaster = field(init=False)
    calendar: Calendar = field(init=False)
    skill: Skill = field(init=False)
    failing: FailingDags = field(init=False)
    troubles: Troubles = field(init=False)
    watch: Watch = field(init=False)

    def __post_init__(self) -> None:
        follower = Follower(self.settings, self.hive, self.lake, self.clock)
        forecasts = Forecasts(self.settings, self.hive, self.clock)
        forecaster = Forecaster(self.settings, self.hive, self.lake, follower, forecasts, self.clock)
        object.__setattr__(self, "follower", follower)
        object.__setattr__(self, "forecasts", forecasts)
        object.__setattr__(self, "forecaster", forecaster)
        object.__setattr__(self, "calendar", Calendar(self.lake, self.clock))
        object.__setattr__(self, "skill", Skill(self.lake, self.clock))
        object.__setattr__(self, "failing", FailingDags(self.lake, self.clock))
        troubles = Troubles.from_settings(self.settings, self.clock)
        alarm = Alarm(self.settings, follower, forecasts, troubles, self.clock, self.disk)
        object.__setattr__(self, "troubles", troubles)
        object.__setattr__(self, "watch", Watch(self.settings, follower, forecasts, self.skill, alarm, self.clock))

    @property
    def stale_after(self) -> timedelta:
        """Age at which a market counts as stale (setting `stale_minutes`)."""
        return timedelta(minutes=self.settings.stale_minutes)


def install(app: Flask, services: Services) -> None:
    """Attach the services to an app."""
    app.extensions[_KEY] = services


def services() -> Services:
    """The services of the app that handles this request."""
    return cast("Services", current_app.extensions[_KEY])
