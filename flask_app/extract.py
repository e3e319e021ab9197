"""`/extract`: the file that Tableau reads."""

from __future__ import annotations

import os
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from flask import Blueprint, request, send_file
from flask.typing import ResponseReturnValue

from flask_app.params import ExtractQuery
from flask_app.problems import NO_EXTRACT, Problem
from flask_app.services import Services, services
from upbit_elt.candle import day_end, day_start
from upbit_elt.extract import hyper
from upbit_elt.extract.bulk import load_candles
from upbit_elt.forecast.schema import FORECAST_SCHEMA
from upbit_elt.warehouse.tables import locations

NO_LIBRARY = (
    "pantab and tableauhyperapi are not installed: they do not exist for this machine's processor (they need x86-64); "
    "run the service on one that has them, or use /api/v1/candles"
)
blueprint = Blueprint("extract", __name__, url_prefix="/extract")
_one_at_a_time = Lock()


def trouble() -> str:
    """Say why this machine cannot write extracts; "" when it can."""
    missing = [name for name in ("pantab", "tableauhyperapi") if find_spec(name) is None]
    return NO_LIBRARY if missing else ""


@blueprint.get("/upbit.hyper")
def upbit_hyper() -> ResponseReturnValue:
    """Candles by minute, hour and day, and the newest forecast, as a `.hyper` file.

    It holds the `days` whole KST days before today, and today so far. The file is written day by day and sent from
    the disk, so that memory holds the candles of one day at most.
    """
    query = ExtractQuery.of(request.args)
    shared = services()
    if shared.extract_trouble:
        raise Problem(NO_EXTRACT, shared.extract_trouble)
    with ExitStack() as held:
        held.enter_context(shared.extracts.taken())
        with _one_at_a_time, TemporaryDirectory(prefix="upbit-extract-", dir=shared.scratch) as folder:
            file = held.enter_context(_build(shared, query.days, Path(folder)).open("rb"))
        # The folder is removed here; the open file stays readable until it is closed.
        response = send_file(file, mimetype="application/x-hyper", as_attachment=True, download_name="upbit.hyper")
        response.direct_passthrough = False  # otherwise call_on_close is not called
        response.content_length = os.fstat(file.fileno()).st_size
        response.call_on_close(held.pop_all().close)
        return response


def _build(shared: Services, days: int, folder: Path) -> Path:
    wanted = hyper.days(shared.clock.now(), days)
    with shared.hive.session() as session:
        folders = locations(session, shared.settings, "candle", wanted)
    candles = (load_candles(shared.lake, folders, day_start(day), day_end(day)) for day in wanted)
    forecast = shared.forecasts.latest()
    return hyper.write(candles, forecast.table if forecast else FORECAST_SCHEMA.empty_table(), folder)
