"""The Tableau extract."""

from __future__ import annotations

from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from flask import Blueprint, request, send_file
from flask.typing import ResponseReturnValue

from flask_app import hyper
from flask_app.bulk import load_candles
from flask_app.params import ExtractQuery
from flask_app.problems import NO_EXTRACT, Problem
from flask_app.services import Services, services
from upbit_elt.forecast.schema import FORECAST_SCHEMA

NO_LIBRARY = (
    "pantab and tableauhyperapi are not there for this machine's processor (they need x86-64); "
    "run the service on one that has them, or use /api/v1/candles"
)
blueprint = Blueprint("extract", __name__, url_prefix="/extract")
_one_at_a_time = Lock()


def trouble() -> str:
    """Why this machine cannot write extracts, "" when it can."""
    missing = [name for name in ("pantab", "tableauhyperapi") if find_spec(name) is None]
    return NO_LIBRARY if missing else ""


@blueprint.get("/upbit.hyper")
def upbit_hyper() -> ResponseReturnValue:
    """Candles by minute, hour and day, and the newest forecast, as a `.hyper` file.

    `days` whole KST days before today, and today so far.
    """
    query = ExtractQuery.of(request.args)
    shared = services()
    if shared.extract_trouble:
        raise Problem(NO_EXTRACT, shared.extract_trouble)
    with _one_at_a_time, TemporaryDirectory(prefix="upbit-extract-", dir=shared.scratch) as folder:
        data = _build(shared, query.days, Path(folder))
    return send_file(BytesIO(data), mimetype="application/x-hyper", as_attachment=True, download_name="upbit.hyper")


def _build(shared: Services, days: int, folder: Path) -> bytes:
    window = shared.follower.window()
    start, end = hyper.span(shared.clock.now(), days)
    candles = load_candles(shared.lake, window.folders if window else {}, start, end)
    newest = shared.forecasts.newest()
    forecast = newest.table if newest else FORECAST_SCHEMA.empty_table()
    return hyper.write(hyper.tables(candles, forecast), folder)
