"""Errors as `application/problem+json` (RFC 9457): what happened, and what to do about it."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

from flask import Flask, Response, current_app, request
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from upbit_elt import errors

RETRY_AFTER_SECONDS = 10


class Kind(NamedTuple):
    """A kind of problem: its status, its name (the last part of `type`; may be empty), and its title."""

    status: int
    name: str
    title: str


BAD_PARAMETER = Kind(400, "bad_parameter", "A parameter is wrong")
TOKEN_NEEDED = Kind(401, "token_needed", "This call needs the service's token")
WRITES_OFF = Kind(403, "writes_off", "Calls that write are switched off")
CROSS_SITE = Kind(403, "cross_site", "Pages of other sites may not use this service")
WRONG_HOST = Kind(421, "wrong_host", "This is not the name of this service")
NO_FORECAST = Kind(404, "no_forecast", "There is no such forecast")
TOO_MUCH = Kind(422, "too_much", "One request cannot return this much")
NO_EXTRACT = Kind(501, "no_extract", "This machine cannot write .hyper files")
BUSY = Kind(503, "busy", "The same work is under way")
INTERNAL = Kind(500, "internal", "The service failed")

# The first class that matches counts, so subclasses stand before their bases.
_KINDS: tuple[tuple[type[errors.UpbitEltError], Kind], ...] = (
    (errors.UnknownMarket, Kind(404, "unknown_market", "This market is not known")),
    (errors.UnusableModel, Kind(503, "unusable_model", "The model in use cannot be read")),
    (errors.NoModel, Kind(409, "no_model", "No model has been trained yet")),
    (errors.StaleData, Kind(503, "stale", "The candles are stale")),
    (errors.NotEnoughHistory, Kind(409, "not_enough_history", "There are too few closed minutes")),
    (errors.LakeUnavailable, Kind(503, "lake_unavailable", "HDFS does not answer")),
    (errors.LeaseHeld, Kind(503, "day_locked", "Another writer has this day")),
    (errors.WarehouseUnavailable, Kind(503, "hive_unavailable", "Hive does not answer")),
    (errors.QueryFailed, Kind(502, "hive_refused", "Hive refused a statement")),
    (errors.LakeError, Kind(500, "lake_broken", "A file in the lake is not what it should be")),
    (errors.UpbitEltError, INTERNAL),
)


class Problem(Exception):
    """A problem that a view raises; `detail` says what to do."""

    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


def register(app: Flask) -> None:
    """Make an app answer every error with a problem document."""
    app.register_error_handler(Problem, lambda error: _problem_response(error.kind, error.detail))
    app.register_error_handler(errors.UpbitEltError, _project_error)
    app.register_error_handler(ValidationError, _bad_parameters)
    app.register_error_handler(HTTPException, _http_error)


def kind_of(error: errors.UpbitEltError) -> Kind:
    """The kind of problem that an error of this project becomes."""
    return next(kind for cls, kind in _KINDS if isinstance(error, cls))


def _problem_response(kind: Kind, detail: str, **members: object) -> Response:
    # RFC 9457: a problem without a meaning beyond its status is `about:blank`.
    uri = f"/problems/{kind.name}" if kind.name else "about:blank"
    body = {"type": uri, "title": kind.title, "status": kind.status, "detail": detail}
    text = current_app.json.dumps({**body, **members})
    response = Response(text, kind.status, content_type="application/problem+json")
    if kind.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if kind.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _project_error(error: errors.UpbitEltError) -> Response:
    kind = kind_of(error)
    if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        current_app.logger.warning("%s %s: %s: %s", request.method, request.path, kind.name, error)
    return _problem_response(kind, str(error))


def _bad_parameters(error: ValidationError) -> Response:
    found = [
        {"parameter": ".".join(map(str, item["loc"])) or "query", "message": item["msg"].removeprefix("Value error, ")}
        for item in error.errors(include_url=False)
    ]
    detail = "; ".join(f"{item['parameter']}: {item['message']}" for item in found)
    return _problem_response(BAD_PARAMETER, detail, errors=found)


def _http_error(error: HTTPException) -> Response:
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return _problem_response(
            INTERNAL, "Nothing was lost. The service's log (`./run logs flask`) says what went wrong."
        )
    response = _problem_response(Kind(status, "", error.name), error.description or error.name)
    for key, value in error.get_headers():
        if key == "Allow":
            response.headers[key] = value
    return response
