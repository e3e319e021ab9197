"""A link from the Airflow UI to the dashboard, at the address where browsers reach it."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from upbit_elt.settings import settings


class DashboardLink(AirflowPlugin):
    """Adds "Upbit dashboard" to the navigation."""

    name = "upbit_dashboard"
    external_views = [  # noqa: RUF012 - the form that Airflow reads
        {
            "name": "Upbit dashboard",
            "href": settings().page_url,
            "destination": "nav",
            "url_route": "upbit_dashboard",
        }
    ]
