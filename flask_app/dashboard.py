"""The page: a shell from the server, filled by the page's own script from the JSON API."""

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
    """The page; it needs neither Hive nor HDFS to open, and says what is missing."""
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
    """Plotly's script as the installed `plotly` package ships it; the page asks for it with its version."""
    script = resources.files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return send_file(BytesIO(script), mimetype="text/javascript", max_age=YEAR_SECONDS, etag=version("plotly"))
