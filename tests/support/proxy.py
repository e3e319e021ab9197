"""A company's proxy: it writes down its requests, and knows the exchange alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
MARKETS = [{"market": "KRW-BTC", "korean_name": "a", "english_name": "b"}]


class Proxy:
    """`requests` are the lines `METHOD address` that came; all but `http://exchange.test/` is refused with 403."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.requests: list[str] = []


@contextmanager
def company_proxy() -> Iterator[Proxy]:
    """A proxy that runs while the block does."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            proxy.requests.append(f"{self.command} {self.path}")
            known = self.path.startswith("http://exchange.test/")
            body = json.dumps(MARKETS if known else {}).encode()
            self.send_response(200 if known else 403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = do_CONNECT = answer

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        proxy = Proxy(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield proxy
        server.shutdown()
        thread.join()
