"""A company's proxy: it writes down its requests, and knows the exchange alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.http_server import Handler, serving

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
MARKETS = [{"market": "KRW-BTC", "korean_name": "a", "english_name": "b"}]


class Proxy:
    """`requests` are the lines `METHOD address` that came; all but `http://exchange.test/` is refused with 403."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[str] = []


@contextmanager
def company_proxy() -> Iterator[Proxy]:
    """A proxy that runs while the block does."""

    proxy = Proxy()

    class Forwarder(Handler):
        def respond(self) -> None:
            proxy.requests.append(f"{self.command} {self.path}")
            known = self.path.startswith("http://exchange.test/")
            self.send(200 if known else 403, json.dumps(MARKETS if known else {}).encode())

        do_GET = do_PUT = do_POST = do_DELETE = do_CONNECT = respond

    with serving(Forwarder) as proxy.url:
        yield proxy
