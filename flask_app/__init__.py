"""The Flask service: page, JSON API, Tableau extract, and the forecasts of the newest minute.

It runs as `gunicorn "flask_app:create_app(watch=True)"` with one worker and several threads, because the candles of
the last day and the model live in the worker's memory. It starts without Hive and HDFS, and contacts them when a
request needs them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from flask import Flask

from flask_app import api, dashboard, extract, guard, health, metrics, problems
from flask_app.alarm import Disk
from flask_app.jsonio import StrictJson
from flask_app.services import Services, install
from upbit_elt.clock import Clock, SystemClock
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.settings import settings as settings_of_process
from upbit_elt.warehouse.hive import Hive

__all__ = ["create_app"]


def create_app(
    settings: Settings | None = None,
    *,
    hive: Hive | None = None,
    lake: Lake | None = None,
    clock: Clock | None = None,
    extract_trouble: str | None = None,
    scratch: Path | None = None,
    disk: Callable[[Path], Disk] = shutil.disk_usage,
    watch: bool = False,
) -> Flask:
    """Build the application. What is not given comes from the environment; see Services for `extract_trouble`,
    `scratch` and `disk`. `watch` starts the thread that checks the age of the data (see flask_app.watch).

    Raises:
        ConfigError: a variable of the environment has a value that is not allowed.
    """
    chosen = settings or settings_of_process()
    app = Flask(__name__)
    app.json = StrictJson(app)
    shared = Services(
        settings=chosen,
        hive=hive or Hive.from_settings(chosen),
        lake=lake or Lake.from_settings(chosen),
        clock=clock or SystemClock(),
        extract_trouble=extract.trouble() if extract_trouble is None else extract_trouble,
        scratch=scratch,
        disk=disk,
    )
    install(app, shared)
    problems.register(app)
    guard.register(app, chosen)
    for blueprint in (health.blueprint, metrics.blueprint, api.blueprint, dashboard.blueprint, extract.blueprint):
        app.register_blueprint(blueprint)
    if watch:
        shared.watch.start()
    return app
