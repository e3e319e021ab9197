"""HTTP to services of our own: directly, whatever proxy the environment names.

A company's machines have HTTP_PROXY set, often without NO_PROXY, and its proxy knows nothing of this deployment. The
exchange is asked as the environment says; everything else of ours goes through here.
"""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import HTTPAdapter


def direct_session() -> requests.Session:
    """A session that uses no proxy; certificates are checked as the environment says (`REQUESTS_CA_BUNDLE`)."""
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, DirectAdapter())
    return session


def ask(method: str, url: str, **options: Any) -> requests.Response:
    """`requests.request` without a proxy: the whole answer. Raises requests.RequestException when there is none."""
    with direct_session() as session:
        return session.request(method, url, **options)


class DirectAdapter(HTTPAdapter):
    """Sends by no proxy, whatever the environment or a redirect says."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """As HTTPAdapter does, straight to the address."""
        request.headers.pop("Proxy-Authorization", None)  # a redirect adds the proxy's password
        return super().send(request, *args, **(kwargs | {"proxies": None}))
