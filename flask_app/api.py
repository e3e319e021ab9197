"""The JSON API, `/api/v1`."""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import Any

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from flask_app import candles
from flask_app.days import iso, rows_of
from flask_app.forecaster import RECENT
from flask_app.forecasts import Forecast
from flask_app.jsonio import number, zulu
from flask_app.params import CandleQuery, DaysQuery, ForecastQuery, Query, SkillQuery
from flask_app.problems import BAD_PARAMETER, NO_FORECAST, TOKEN_NEEDED, TOO_MUCH, WRITES_OFF, Problem
from flask_app.rows import wire_rows
from flask_app.services import services
from flask_app.status import age, current
from upbit_elt.candle import day_start, kst_day, parse_wire
from upbit_elt.errors import LakeCorrupt
from upbit_elt.forecast.schema import QUANTILE_COLUMNS
from upbit_elt.lake.dag_errors import DagError
from upbit_elt.lake.freshness import Freshness, MarketFreshness
from upbit_elt.quality.results import state_of

# At most so many of the markets without a forecast are named in a response.
MAX_NAMED = 20

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")


@blueprint.get("/status")
def status() -> ResponseReturnValue:
    """State of the pipeline. Times are UTC and end in Z, ages are in seconds, `today` means the KST day."""
    Query.of(request.args)
    return current(services())


@blueprint.get("/markets")
def markets() -> ResponseReturnValue:
    """Every market with its last candle of the last 26 hours (null when it has none), its sums of today (KST), and up
    to where it is known: `covered_until`, `stale`, `stale_reason`. A market that left the exchange is not `listed`.
    """
    Query.of(request.args)
    shared = services()
    window = shared.follower.window()
    now = shared.clock.now()
    if window is None:
        return []
    known = {one.market: one for one in window.freshness.markets}
    return [
        {
            "market": market,
            "trade_price": row.last_price,
            "candle_date_time_utc": row.last_minute,
            "candles_today": row.candles_today,
            "acc_trade_price_today": row.value_today,
            "listed": market in known,
            "covered_until": zulu(window.coverage.watermark[market]),
            **_stale(known.get(market), now),
        }
        for market, row in window.latest(day_start(kst_day(now))).items()
    ]


@blueprint.get("/candles")
def list_candles() -> ResponseReturnValue:
    """Minute candles of a market in Upbit's form, newest first; `from` is inclusive, `to` exclusive.

    Without `from` at most 63 days are searched; when older days may hold more, the header `Link` has the address of
    the next page.
    """
    query = CandleQuery.of(request.args)
    shared = services()
    window = candles.known_market(shared.follower.window(), query.market)
    rows, unsearched = candles.find(shared, window, query)
    if unsearched is None:
        return wire_rows(rows)
    if query.start:
        raise Problem(TOO_MUCH, _in_parts(query, len(rows), unsearched))
    older = url_for(".list_candles", market=query.market, to=zulu(unsearched), count=query.count)
    return wire_rows(rows), {"Link": f'<{older}>; rel="next"'}


@blueprint.get("/days")
def list_days() -> ResponseReturnValue:
    """Days (KST) of the lake, oldest first: open, closed or proven, with counts; null where nothing was reconciled.

    `holes` counts the markets with a hole of a closed day until its first reconciliation; from then on it is 0.
    """
    return services().calendar.days(DaysQuery.of(request.args).count)


@blueprint.get("/days/<day>")
def read_day(day: str) -> ResponseReturnValue:
    """Result of the reconciliation of a KST day `2026-11-24`: a row per market, those with discrepancies first."""
    Query.of(request.args)
    try:
        compact = datetime.strptime(day, "%Y-%m-%d").strftime("%y%m%d")
        if iso(compact) != day:  # of another century, or short of a zero
            raise ValueError(day)
    except ValueError:
        raise Problem(BAD_PARAMETER, f"{day!r} is no day; write 2026-11-24") from None
    lake = services().lake
    state, _ = state_of(lake, compact)
    return {"day": iso(compact), "state": state, "markets": rows_of(lake, compact)}


@blueprint.get("/forecasts")
def read_forecast() -> ResponseReturnValue:
    """A market's newest forecast, or that of `origin`. It is `stale` when it is old or the market's candles are."""
    query = ForecastQuery.of(request.args)
    shared = services()
    now = shared.clock.now()
    fresh = candles.known_market(shared.follower.window(), query.market).freshness
    stale = _stale(fresh.market(query.market), now)
    origin = query.origin
    if origin:
        with shared.history.taken():
            found = shared.forecasts.at(origin, query.market)
    else:
        found = shared.forecasts.latest()
    if found is None or query.market not in found.rows:
        raise Problem(NO_FORECAST, _nothing(query, fresh))
    return {
        "market": query.market,
        "origin": zulu(found.origin),
        "issued_utc": zulu(found.issued),
        "model_version": found.model_version,
        "age_seconds": age(now, found.origin),
        **(stale if stale["stale"] else {**stale, "stale": now - found.origin > shared.stale_after}),
        "rows": [_row(row) for row in found.rows[query.market]],
    }


@blueprint.get("/skill")
def read_skill() -> ResponseReturnValue:
    """How good the served forecasts of the last `days` KST days were, pooled over the markets: by horizon, and by day.

    `skill` is the share by which their CRPS is below a baseline's on the same forecasts: 0 is no better, 1 is perfect.
    """
    return services().skill.report(SkillQuery.of(request.args).days)


@blueprint.post("/forecasts")
def make_forecast() -> ResponseReturnValue:
    """Compute and store the forecast from the end of the newest live run. Needs the bearer token.

    `left_out` counts the markets whose candles are not known up to there, or not in all of the half hour before, and
    names the first of them with the minute up to which each is known without a hole and the reason.
    """
    _authorize(services().settings.flask_token.get_secret_value())
    stored = services().forecaster.run()
    return {
        **_summary(stored.forecast),
        "file": stored.file,
        "stored": stored.file is not None,
        "left_out": {"count": len(stored.left_out), "markets": [_left_out(one) for one in stored.left_out[:MAX_NAMED]]},
    }


@blueprint.post("/troubles")
def note_trouble() -> ResponseReturnValue:
    """Store the error of an Airflow task (a DagError as JSON) for the webhook. Needs the bearer token."""
    _authorize(services().settings.flask_token.get_secret_value())
    try:
        error = DagError.from_json(request.get_data(), "the body")
    except LakeCorrupt as wrong:
        raise Problem(BAD_PARAMETER, str(wrong)) from wrong
    services().troubles.report(error.trouble)
    return {"status": "noted"}, 202


def _in_parts(query: CandleQuery, found: int, unsearched: datetime) -> str:
    return (
        f"{query.market} has {found} candles in the {candles.MOST_DAYS} days that one request searches; "
        f"request first from={zulu(unsearched)}, then with to={zulu(unsearched)} for those before"
    )


def _left_out(state: MarketFreshness) -> dict[str, Any]:
    return {"market": state.market, "covered_until": zulu(state.until), "reason": state.why, "detail": state.detail}


def _stale(state: MarketFreshness | None, now: datetime) -> dict[str, Any]:
    stale = state is not None and state.is_stale(now, services().stale_after)
    return {
        "stale": stale,
        "stale_reason": state.why if stale and state else None,
        "stale_detail": (state.detail or None) if stale and state else None,
    }


def _nothing(query: ForecastQuery, fresh: Freshness) -> str:
    """Sentence that says why there is no forecast of a market."""
    if query.origin:
        days = services().settings.keep_forecast_days
        retention = f" and kept for {days} days" if days else ""
        return f"{query.market}: no forecast of {zulu(query.origin)}; they are made every 2 minutes{retention}"
    state = fresh.market(query.market)
    if state and state.reason:
        return f"{query.market}: no forecast is made from an old price; it is known only until {state.words}"
    torn = {one.market: one for one in fresh.torn(fresh.looked_until, RECENT)}
    if query.market in torn:
        hole = torn[query.market].words
        return f"{query.market}: no forecast is made over a hole of the last half hour; it is known only until {hole}"
    return f"{query.market}: no forecast was made yet; they are made every 2 minutes"


def _summary(forecast: Forecast) -> dict[str, Any]:
    return {
        "origin": zulu(forecast.origin),
        "issued_utc": zulu(forecast.issued),
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
