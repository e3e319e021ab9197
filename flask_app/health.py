"""Liveness and readiness."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from flask_app.services import services

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> ResponseReturnValue:
    """200 while the process can answer at all."""
    return {"status": "alive"}


@blueprint.get("/readyz")
def readyz() -> ResponseReturnValue:
    """200 when HDFS and HiveServer2 answer; else their problem, 503."""
    shared = services()
    shared.lake.list(shared.lake.root or "/")
    shared.hive.query("SELECT 1")
    return {"status": "ready"}
