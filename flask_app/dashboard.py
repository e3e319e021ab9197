"""The page: the server sends a frame, and the page's script fills it from the JSON API."""

from __future__ import annotations

from importlib import resources
from importlib.metadata import version
from io import BytesIO

from flask import Blueprint, render_template, send_file
from flask.typing import ResponseReturnValue

from flask_app.services import services

YEAR_SECONDS = 31_536_000

blueprint = Blueprint("dashboard", __name__)


@blueprint.get("/")
def page() -> ResponseReturnValue:
    """The page. It opens without Hive and HDFS, and then says what is missing."""
    settings = services().settings
    return render_template(
        "page.html",
        dataset=settings.dataset,
        replica=settings.dataset != "upbit",
        base_url=settings.base_url,
        plotly_version=version("plotly"),
    )


@blueprint.get("/static/vendor/plotly.min.js")
def plotly() -> ResponseReturnValue:
    """Plotly's script from the installed `plotly` package; the page puts the version into its address."""
    script = resources.files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return send_file(BytesIO(script), mimetype="text/javascript", max_age=YEAR_SECONDS, etag=version("plotly"))
