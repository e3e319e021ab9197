"""HTTP to services of this deployment: without a proxy, even when the environment names one.

Companies' machines often have HTTP_PROXY set without NO_PROXY, and their proxy cannot reach this deployment. Requests
to the exchange use the environment's proxy; requests to all other services go through this module.
"""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import HTTPAdapter


def direct_session() -> requests.Session:
    """Make a session that uses no proxy; certificates are checked as the environment says (`REQUESTS_CA_BUNDLE`)."""
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, DirectAdapter())
    return session


def request(method: str, url: str, **options: Any) -> requests.Response:
    """Send a request without a proxy, as `requests.request` does. Raises requests.RequestException."""
    with direct_session() as session:
        return session.request(method, url, **options)


class DirectAdapter(HTTPAdapter):
    """Never uses a proxy, even when the environment or a redirect names one."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send as HTTPAdapter does, but directly to the address."""
        request.headers.pop("Proxy-Authorization", None)  # a redirect adds the proxy's password
        return super().send(request, *args, **(kwargs | {"proxies": None}))
