"""How far the pipeline is, in one answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_app.jsonio import zulu
from flask_app.services import Services
from upbit_elt.candle import day_start, kst_day
from upbit_elt.errors import NoModel


def current(shared: Services) -> dict[str, Any]:
    """State of the pipeline as JSON members; null where there is nothing yet.

    Raises:
        LakeUnavailable, WarehouseUnavailable
    """
    now = shared.clock.now()
    window = shared.follower.window()
    newest = shared.forecasts.newest()
    latest = window.latest(day_start(kst_day(now))) if window else {}
    covered = window.end if window else None
    origin = newest.origin if newest else None
    return {
        "exchange": shared.settings.dataset,
        "base_url": shared.settings.base_url,
        "now": zulu(now),
        "covered_until": zulu(covered),
        "lag_seconds": _age(now, covered),
        "forecast_origin": zulu(origin),
        "forecast_age_seconds": _age(now, origin),
        "markets": len(latest),
        "candles_today": sum(row.candles_today for row in latest.values()),
        "model": _model(shared),
    }


def _age(now: datetime, moment: datetime | None) -> int | None:
    return None if moment is None else int((now - moment).total_seconds())


def _model(shared: Services) -> dict[str, Any] | None:
    try:
        champion = shared.forecaster.champion()
    except NoModel:
        return None
    return {"version": champion.version, "provisional": bool(champion.card.get("provisional", False))}
