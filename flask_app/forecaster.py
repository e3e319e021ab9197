"""Computes and stores the forecast from the newest covered minute, one computation at a time."""

from __future__ import annotations

from threading import Lock
from typing import NamedTuple

from flask_app.follow import Follower
from flask_app.forecasts import Forecast, Forecasts, forecast_of
from flask_app.problems import BUSY, Problem
from flask_app.window import LENGTH, Window
from upbit_elt.candle import MINUTE
from upbit_elt.clock import Clock
from upbit_elt.errors import NotEnoughHistory, StaleData
from upbit_elt.forecast.artifacts import Champion, champion_version, load_champion
from upbit_elt.forecast.features import WARMUP
from upbit_elt.forecast.panel import Panel, PanelBuilder
from upbit_elt.forecast.predict import predict
from upbit_elt.forecast.store import store
from upbit_elt.lake.freshness import MarketFreshness
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive

RECENT = WARMUP * MINUTE
"""Before an origin: a market with a hole in it gets no forecast."""


class StoredForecast(NamedTuple):
    """The stored forecast of an origin; `file` is the name of its file, None when an earlier call has stored it.

    `left_out` are the listed markets that are not known up to the origin, or have a hole in the last half hour before
    it: no forecast is made from an old price, nor from a price path that is not known.
    """

    forecast: Forecast
    file: str | None
    left_out: list[MarketFreshness]


class Forecaster:
    """Keeps the champion model in memory, and loads it again when its pointer in the lake changes."""

    def __init__(
        self, settings: Settings, hive: Hive, lake: Lake, follower: Follower, forecasts: Forecasts, clock: Clock
    ) -> None:
        self._settings, self._hive, self._lake, self._clock = settings, hive, lake, clock
        self._follower, self._forecasts = follower, forecasts
        self._lock, self._model_lock = Lock(), Lock()
        self._champion: Champion | None = None

    def run(self) -> StoredForecast:
        """Forecast every market that is known up to the end of the newest live run registered in Hive; store it.

        Raises:
            NoModel: nothing has been trained yet.
            NotEnoughHistory: too few minutes are covered.
            StaleData: no market is known up to that minute without a recent hole.
            LakeUnavailable, WarehouseUnavailable: HDFS or Hive does not answer.
            Problem: another call still computes a forecast.
        """
        if not self._lock.acquire(timeout=self._settings.hive_timeout):
            raise Problem(BUSY, "another call is computing a forecast and will store it")
        try:
            return self._forecast(self.champion())
        finally:
            self._lock.release()

    def champion(self) -> Champion:
        """The model in use. Raises NoModel, UnusableModel, LakeUnavailable."""
        with self._model_lock:
            if self._champion is None or champion_version(self._lake) != self._champion.version:
                self._champion = load_champion(self._lake)
            return self._champion

    def _forecast(self, champion: Champion) -> StoredForecast:
        window = self._follower.refresh()
        if window is None:
            raise NotEnoughHistory("no candles yet: the first run of `min_candle` has not finished")
        fresh = window.freshness
        torn = fresh.torn(window.end, RECENT)
        left_out = fresh.behind(window.end) + torn
        known = fresh.known_at(window.end) - {one.market for one in torn}
        if not known:
            raise StaleData(f"no market is known until {window.end:%Y-%m-%dT%H:%MZ}: {_why(left_out)}")
        table = predict(champion, _panel(window).only(known), window.end)
        made = store(self._lake, self._hive, self._settings, table, self._clock)
        stored = forecast_of(made.table.to_pylist()) if made else self._forecasts.at(window.end)
        if stored is None:
            raise NotEnoughHistory("no market has enough closed minutes for a forecast yet")
        self._forecasts.remember(stored)
        return StoredForecast(stored, made.name if made else None, left_out)


def _why(left_out: list[MarketFreshness]) -> str:
    if not left_out:
        return "none is listed any more"
    return f"{left_out[0].market} until {left_out[0].words}"


def _panel(window: Window) -> Panel:
    builder = PanelBuilder(end=window.end, minutes=LENGTH // MINUTE)
    builder.add(window.candles)
    for hole in window.freshness.holes:
        builder.add_hole(hole.market, hole)
    return builder.build()
