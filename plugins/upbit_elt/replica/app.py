"""The replica as a WSGI application: Upbit's quotation endpoints below /v1."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import ceil

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.http import http_date

from upbit_elt.replica.headers import dress
from upbit_elt.replica.limits import Clock, Limiter
from upbit_elt.replica.query import ApiError
from upbit_elt.replica.responses import Responses
from upbit_elt.replica.source import Source

_JSON = "application/json;charset=UTF-8"


def utc_now() -> datetime:
    """The current time; the clock of a replica that runs in real time."""
    return datetime.now(UTC)


def create_replica(
    source: Source,
    clock: Clock = utc_now,
    *,
    latency: float = 0.0,
    pause: Callable[[float], object] = time.sleep,
) -> Flask:
    """Make an exchange that serves `source` as of the time of `clock` (aware UTC), with rate limits of its own.

    `latency` is the time in seconds that every response takes; `pause` waits that long. The app keeps its limits and
    caches in memory, so one process serves it, with any number of threads.
    """
    app = Flask("upbit_elt.replica", static_folder=None)
    responses, limiter = Responses(source, clock), Limiter(clock)
    for rule, response in responses.routes().items():
        app.add_url_rule("/v1" + rule, rule, _json(response))

    @app.before_request
    def limit() -> Response | None:
        if latency:
            pause(latency)
        return _limit(limiter)

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["Date"] = http_date(clock())
        return dress(response, g.get("remaining"))

    app.register_error_handler(ApiError, _api_error)
    app.register_error_handler(HTTPException, _http_error)
    return app


def _limit(limiter: Limiter) -> Response | None:
    """Count a request that has a route against its limit. Gives the error response when the limit is reached."""
    if request.url_rule is None:
        return None
    group = "origin" if "Origin" in request.headers else request.path.split("/")[2]  # market, candles or ticker
    verdict = limiter.admit(request.remote_addr or "", group)
    if verdict.status == 418:
        seconds = ceil(verdict.banned_for.total_seconds())
        return _error(418, f"This IP is blocked for {seconds} seconds because it went on past 429.")
    g.remaining = f"group={group}; min=600; sec={verdict.remaining}"
    if verdict.status == 429:
        return Response("Too many API requests.", 429, content_type="text/plain;charset=UTF-8")
    return None


def _json(response: Callable[..., object]) -> Callable[..., Response]:
    def view(**path: str) -> Response:
        joined = {name: ",".join(values) for name, values in request.args.lists()}  # pyupbit repeats `markets`
        return _body(response(joined, **path))

    return view


def _body(value: object, status: int = 200) -> Response:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text, status, content_type=_JSON)


def _error(status: int, message: str, name: int | str | None = None) -> Response:
    return _body({"error": {"name": status if name is None else name, "message": message}}, status)


def _api_error(error: ApiError) -> Response:
    return _error(error.status, error.message)


def _http_error(error: HTTPException) -> Response | HTTPException:
    """Upbit's gateway response for an unknown route."""
    if isinstance(error, NotFound | MethodNotAllowed):
        return _error(404, "no Route matched with those values", "not_found")
    return error
