"""State of the pipeline in one JSON object."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from flask_app.jsonio import zulu
from flask_app.services import Services
from upbit_elt.candle import day_start, kst_day
from upbit_elt.errors import NoModel, UnusableModel
from upbit_elt.lake.dag_errors import DagError
from upbit_elt.lake.freshness import Freshness


def current(shared: Services) -> dict[str, Any]:
    """State of the pipeline as JSON members; null where there is nothing yet.

    `covered_until` is the UTC minute up to which nine tenths of the listed markets are collected, `looked_until`
    the end of the span that the last live run requested, whether or not it got it.

    Raises:
        LakeUnavailable, WarehouseUnavailable: HDFS or Hive does not answer.
    """
    now = shared.clock.now()
    window = shared.follower.window()
    forecast = shared.forecasts.latest()
    latest = window.latest(day_start(kst_day(now))) if window else {}
    origin = forecast.origin if forecast else None
    return {
        "exchange": shared.settings.dataset,
        "base_url": shared.settings.base_url,
        "now": zulu(now),
        **_freshness(shared, window.freshness if window else None, now),
        "forecast_origin": zulu(origin),
        "forecast_age_seconds": age(now, origin),
        "forecast_stale": origin is not None and now - origin > shared.stale_after,
        "markets": len(latest),
        "candles_today": sum(row.candles_today for row in latest.values()),
        **_model(shared),
        "errors": [_error(one) for one in shared.failing.current()],
    }


def freshness_of(shared: Services) -> Freshness | None:
    """Up to where each market is known; None while nothing was collected.

    Raises:
        LakeUnavailable, WarehouseUnavailable: HDFS or Hive does not answer.
    """
    window = shared.follower.window()
    return window.freshness if window else None


def age(now: datetime, moment: datetime | None) -> int | None:
    """Whole seconds since a moment; None for None."""
    return None if moment is None else int((now - moment).total_seconds())


def _freshness(shared: Services, fresh: Freshness | None, now: datetime) -> dict[str, Any]:
    stale = fresh.stale(now, shared.stale_after) if fresh else []
    return {
        "covered_until": zulu(fresh.covered_until if fresh else None),
        "looked_until": zulu(fresh.looked_until if fresh else None),
        "lag_seconds": age(now, fresh.covered_until if fresh else None),
        "lag_typical_seconds": age(now, fresh.typical if fresh else None),
        "lag_worst_seconds": age(now, fresh.worst if fresh else None),
        "listed_markets": len(fresh.markets) if fresh else 0,
        "stale_markets": len(stale),
        "stale_since": zulu(stale[0].until if stale else None),
        "stale_reasons": dict(Counter(one.why for one in stale).most_common()),
        "stale_detail": next((one.detail for one in stale if one.detail), None),
        "stale": fresh.words(now, shared.stale_after) if fresh else None,
    }


def _error(error: DagError) -> dict[str, Any]:
    return {"dag": error.dag, "task": error.task, "run": error.run, "at": zulu(error.at), "error": error.error}


def _model(shared: Services) -> dict[str, Any]:
    """The model in use (null while there is none), and why the champion cannot be used, if so."""
    try:
        champion = shared.forecaster.champion()
    except UnusableModel as error:
        return {"model": None, "model_trouble": str(error)}
    except NoModel:
        return {"model": None, "model_trouble": None}
    provisional = bool(champion.card.get("provisional", False))
    return {"model": {"version": champion.version, "provisional": provisional}, "model_trouble": None}
