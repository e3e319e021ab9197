"""A threaded HTTP/1.1 server with keep-alive for the replica."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from flask import Flask
from werkzeug import Response
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server


class _Handler(WSGIRequestHandler):
    """Keeps connections open as the exchange does; Werkzeug's own handler closes them after each response."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # a small response is one write
    disable_nagle_algorithm = True  # a large response is two, and the second must not wait for an acknowledgement
    timeout = 75  # seconds after which an idle connection is closed

    def run_wsgi(self) -> None:
        """Answer one request. After a request with a body, which no endpoint reads, the connection is closed."""
        response = Response.from_app(self.server.app, self.make_environ(), buffered=True)
        self.send_response_only(response.status_code)
        for name, value in response.headers.items():
            self.send_header(name, value)
        body = response.get_data()
        if len(body) < int(response.headers.get("Content-Length", 0)) and self.command != "HEAD":
            self.close_connection = True  # an injected fault has cut the body
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def make(app: Flask, host: str, port: int) -> BaseWSGIServer:
    """Make a server that is bound but does not serve yet; port 0 takes a free one. Raises OSError."""
    with socket.create_server((host, port), backlog=128) as bound:  # Werkzeug itself would exit on a port in use
        return make_server(host, port, app, threaded=True, request_handler=_Handler, fd=bound.fileno())


def serve(server: BaseWSGIServer) -> None:
    """Serve until SIGTERM or SIGINT, then close the socket."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown).start()  # shutdown() called here would wait for itself

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    with server:
        server.serve_forever(poll_interval=0.1)


@contextmanager
def running(app: Flask, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve in a thread while the block runs; give the origin, such as `http://127.0.0.1:34567`."""
    with make(app, host, port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://{host}:{server.port}"
        finally:
            server.shutdown()
            thread.join()
