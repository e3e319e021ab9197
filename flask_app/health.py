"""Liveness and readiness of the service."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from flask_app.services import services
from flask_app.status import freshness_of
from upbit_elt.errors import StaleData

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> ResponseReturnValue:
    """200 while the process answers."""
    return {"status": "alive"}


@blueprint.get("/readyz")
def readyz() -> ResponseReturnValue:
    """200 when HDFS and HiveServer2 answer and the candles are fresh (or there are none yet); else a 503 problem."""
    ready_services()
    return ready_data()


@blueprint.get("/readyz/services")
def ready_services() -> ResponseReturnValue:
    """200 when HDFS and HiveServer2 answer; otherwise a 503 problem.

    Supervisors and container healthchecks use this one: an outage of the exchange is no reason to restart the service.
    """
    shared = services()
    shared.lake.list(shared.lake.root or "/")
    shared.hive.query("SELECT 1")
    return {"status": "ready"}


@blueprint.get("/readyz/data")
def ready_data() -> ResponseReturnValue:
    """200 when nine tenths of the markets are fresh, or nothing was collected yet; otherwise a 503 problem.

    The problem says how many markets are stale, since when, and why.
    """
    shared = services()
    fresh = freshness_of(shared)
    now = shared.clock.now()
    if fresh and now - fresh.covered_until > shared.stale_after:
        raise StaleData(fresh.words(now, shared.stale_after) or "no market is listed any more")
    return {"status": "ready"}
