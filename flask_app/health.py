"""Liveness and readiness."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from flask_app.services import services
from flask_app.status import freshness_of
from upbit_elt.errors import StaleData

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> ResponseReturnValue:
    """200 while the process can answer at all."""
    return {"status": "alive"}


@blueprint.get("/readyz")
def readyz() -> ResponseReturnValue:
    """200 when HDFS and HiveServer2 answer and the candles are fresh (or none has come yet); else the problem, 503."""
    ready_services()
    return ready_data()


@blueprint.get("/readyz/services")
def ready_services() -> ResponseReturnValue:
    """200 when HDFS and HiveServer2 answer; else their problem, 503.

    What supervisors and container healthchecks ask: an exchange that is away is not this service's fault.
    """
    shared = services()
    shared.lake.list(shared.lake.root or "/")
    shared.hive.query("SELECT 1")
    return {"status": "ready"}


@blueprint.get("/readyz/data")
def ready_data() -> ResponseReturnValue:
    """200 when nine tenths of the markets are known up to the last minutes, or nothing was collected yet; else 503.

    The problem says how many markets are stale, since when, and why.
    """
    shared = services()
    fresh = freshness_of(shared)
    now = shared.clock.now()
    if fresh and now - fresh.covered_until > shared.stale_after:
        raise StaleData(fresh.words(now, shared.stale_after) or "no market is listed any more")
    return {"status": "ready"}
