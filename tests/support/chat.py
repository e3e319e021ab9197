"""A chat's incoming webhook on this machine: what came to it, and how it misbehaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

SLACK, DISCORD = "/services/T0/B0/secret", "/api/webhooks/1/secret"


class Chat:
    """`bodies` are the JSON documents that it took; `status` is what it answers; `frozen` lets it answer nothing."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.bodies: list[dict[str, Any]] = []
        self.status, self.frozen, self.closing = 200, False, Event()

    @property
    def lines(self) -> list[str]:
        """The texts that it took, in their order."""
        return [body.get("text") or body["content"] for body in self.bodies]


@contextmanager
def chat() -> Iterator[Chat]:
    """A chat for the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if there.frozen:
                there.closing.wait()
                return
            if there.status == 200:
                there.bodies.append(body)
            self.send_response(there.status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            """Not into the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    there = Chat(server.server_address[1])
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield there
    finally:
        there.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
