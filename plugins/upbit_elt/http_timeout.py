"""HTTP connections whose timeout limits the whole response.

The timeout of `requests` limits each read, so a response that arrives byte by byte never exceeds it. Here the remaining
time shrinks from read to read, over headers and body.
"""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Callable
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from upbit_elt.direct import DirectAdapter

# Connections that are kept open to one host: as many as requests may be under way.
POOL = 64
Seconds = Callable[[], float]


def keep_alive_session(seconds: Seconds, direct: bool = False) -> requests.Session:
    """Make a session whose connections stay open; `seconds` is a monotonic clock.

    It uses the environment's proxy, unless `direct` is set, as for a replica, which is a service of our own. A response
    that is not complete within the request's `timeout` ends as a timeout.
    """
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, _TimedDirectAdapter(seconds) if direct else _TimedAdapter(seconds))
    session.headers["Accept"] = "application/json"
    return session


class _TimedAdapter(HTTPAdapter):
    def __init__(self, seconds: Seconds) -> None:
        self._seconds = seconds
        super().__init__(pool_connections=1, pool_maxsize=POOL)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._limit(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        self._limit(manager)
        return manager

    def _limit(self, manager: Any) -> None:
        seconds = self._seconds

        class HttpPool(HTTPConnectionPool):
            ConnectionCls = _timed(HTTPConnection, seconds)

        class HttpsPool(HTTPSConnectionPool):
            ConnectionCls = _timed(HTTPSConnection, seconds)

        manager.pool_classes_by_scheme = {"http": HttpPool, "https": HttpsPool}


class _TimedDirectAdapter(DirectAdapter, _TimedAdapter):
    pass


def _timed(connection: Any, seconds: Seconds) -> Any:
    """Subclass of `connection` whose timeout limits the whole response."""

    def response(self: Any, sock: socket.socket, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
        made = http.client.HTTPResponse(sock, *args, **kwargs)
        if isinstance(self.timeout, int | float):
            made.fp = io.BufferedReader(_Reader(made.fp.detach(), sock, seconds, self.timeout))
        return made

    return type(connection.__name__, (connection,), {"response_class": response})


class _Reader(io.RawIOBase):
    """Reads a socket for `timeout` seconds in total, however little arrives at a time."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, clock: Seconds, timeout: float) -> None:
        self._raw, self._sock, self._clock = raw, sock, clock
        self._end = clock() + timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._end - self._clock()
        if left <= 0:
            raise TimeoutError("the response was not complete in time")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()
