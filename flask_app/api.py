"""The JSON API, `/api/v1`."""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from flask_app import candles
from flask_app.days import iso, rows_of
from flask_app.forecasts import Forecast
from flask_app.jsonio import number, zulu
from flask_app.params import CandleQuery, DaysQuery, ForecastQuery, Query
from flask_app.problems import BAD_PARAMETER, NO_FORECAST, TOKEN_NEEDED, WRITES_OFF, Problem
from flask_app.rows import wire_rows
from flask_app.services import services
from flask_app.status import current
from upbit_elt.candle import day_start, kst_day, parse_wire
from upbit_elt.forecast.schema import QUANTILE_COLUMNS
from upbit_elt.quality.proofs import state_of

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")


@blueprint.get("/status")
def status() -> ResponseReturnValue:
    """How far the pipeline is. Times are UTC ending in Z, ages in seconds, today is the KST day."""
    Query.of(request.args)
    return current(services())


@blueprint.get("/markets")
def markets() -> ResponseReturnValue:
    """Every market with its last candle of the last 26 hours (null when none) and what today (KST) brought."""
    Query.of(request.args)
    shared = services()
    window = shared.follower.window()
    latest = window.latest(day_start(kst_day(shared.clock.now()))) if window else {}
    return [
        {
            "market": market,
            "trade_price": row.last_price,
            "candle_date_time_utc": row.last_minute,
            "candles_today": row.candles_today,
            "acc_trade_price_today": row.value_today,
        }
        for market, row in latest.items()
    ]


@blueprint.get("/candles")
def list_candles() -> ResponseReturnValue:
    """Minute candles of a market in Upbit's form, newest first; `from` inclusive, `to` exclusive."""
    query = CandleQuery.of(request.args)
    shared = services()
    window = candles.known_market(shared.follower.window(), query.market)
    return wire_rows(candles.find(shared.hive, shared.settings, window, query))


@blueprint.get("/days")
def list_days() -> ResponseReturnValue:
    """Days (KST) of the lake, oldest first: open, closed or proven, with counts; null where nothing was compared."""
    return services().calendar.days(DaysQuery.of(request.args).count)


@blueprint.get("/days/<day>")
def show_day(day: str) -> ResponseReturnValue:
    """What reconciliation found on a KST day `2026-11-24`, a row a market, those with findings first."""
    Query.of(request.args)
    try:
        compact = datetime.strptime(day, "%Y-%m-%d").strftime("%y%m%d")
    except ValueError:
        raise Problem(BAD_PARAMETER, f"{day!r} is no day; write 2026-11-24") from None
    lake = services().lake
    state, _ = state_of(lake, compact)
    return {"day": iso(compact), "state": state, "markets": rows_of(lake, compact)}


@blueprint.get("/forecasts")
def show_forecast() -> ResponseReturnValue:
    """A market's forecast: the newest, or that of `origin`."""
    query = ForecastQuery.of(request.args)
    shared = services()
    candles.known_market(shared.follower.window(), query.market)
    origin = query.origin
    found = shared.forecasts.at(origin, query.market) if origin else shared.forecasts.newest()
    if found is None or query.market not in found.rows:
        made = f"at {zulu(origin)}" if origin else "yet"
        raise Problem(NO_FORECAST, f"{query.market}: no forecast was made {made}; they are made every 2 minutes")
    return {
        "market": query.market,
        "origin": zulu(found.origin),
        "model_version": found.model_version,
        "rows": [_row(row) for row in found.rows[query.market]],
    }


@blueprint.post("/forecasts")
def make_forecast() -> ResponseReturnValue:
    """Compute and store the forecast of the newest covered minute. Needs the bearer token."""
    _authorize(services().settings.flask_token.get_secret_value())
    made = services().forecaster.run()
    return {**_summary(made.forecast), "file": made.file, "stored": made.file is not None}


def _summary(forecast: Forecast) -> dict[str, Any]:
    return {
        "origin": zulu(forecast.origin),
        "rows": forecast.count,
        "model_version": forecast.model_version,
    }


def _row(row: dict[str, Any]) -> dict[str, Any]:
    numbers = (*QUANTILE_COLUMNS, "expected_volume", "volatility")
    values = {name: number(row[name]) for name in numbers}
    return {"horizon": row["horizon"], "target": zulu(parse_wire(row["target"])), **values}


def _authorize(token: str) -> None:
    if not token:
        raise Problem(WRITES_OFF, "the service was started without UPBIT_ELT_FLASK_TOKEN; set it and start again")
    sent = request.authorization
    given = (sent.token or "") if sent and sent.type == "bearer" else ""
    if not hmac.compare_digest(given.encode(), token.encode()):
        raise Problem(TOKEN_NEEDED, "send `Authorization: Bearer <UPBIT_ELT_FLASK_TOKEN>`")
