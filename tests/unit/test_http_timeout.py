"""A response that drips is given up in time: on a real socket, reading the clock brings a byte and costs a second."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Semaphore, Thread

import pytest

from tests.support.clock import ManualClock, utc
from upbit_elt.clock import Deadline
from upbit_elt.errors import OutOfTime, Unreachable
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.limits import AddressLimits

HEAD = b"HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 03:00:30 GMT\r\nConnection: close\r\n"
BODY = b'[{"market": "KRW-BTC", "korean_name": "a", "english_name": "b"}]'
LENGTH = f"Content-Length: {len(BODY)}\r\n\r\n".encode()


class DripClock(ManualClock):
    """Each reading of it lets one more byte come, a second later."""

    def __init__(self) -> None:
        super().__init__(utc(3, 0, 30))
        self.drops = Semaphore(0)

    def monotonic(self) -> float:
        self.sleep(1)
        self.drops.release()
        return super().monotonic()


class Dripping:
    """A server that sends `quick` at once and `slowly` byte by byte, until the client hangs up."""

    def __init__(self, quick: bytes, slowly: bytes) -> None:
        self.clock = DripClock()
        self.quick, self.slowly = quick, slowly
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _serve(self) -> None:
        with self._socket, self._socket.accept()[0] as connection, suppress(ConnectionError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.recv(65536)
            connection.sendall(self.quick)
            for byte in self.slowly:
                self.clock.drops.acquire()
                connection.sendall(bytes([byte]))

    def join(self) -> None:
        self.clock.drops.release(1000)
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture(params=["headers", "body", "chunks"])
def dripping(request: pytest.FixtureRequest) -> Iterator[Dripping]:
    quick, slowly = {
        "headers": (b"", HEAD + LENGTH + BODY),
        "body": (HEAD + LENGTH, BODY),
        "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"40\r\n" + BODY + b"\r\n0\r\n\r\n"),
    }[request.param]
    server = Dripping(quick, slowly)
    yield server
    server.join()


def client_of(server: Dripping, state: Path, timeout: float) -> UpbitClient:
    return UpbitClient(server.url, AddressLimits(state, 10, server.clock), server.clock, timeout=timeout, attempts=1)


def test_an_answer_that_drips_is_given_up_after_the_timeout(dripping: Dripping, tmp_path: Path) -> None:
    client = client_of(dripping, tmp_path, timeout=10)
    with pytest.raises(Unreachable):
        client.markets()
    client.close()


def test_an_answer_that_drips_in_time_is_read(dripping: Dripping, tmp_path: Path) -> None:
    client = client_of(dripping, tmp_path, timeout=1000)
    assert [market.market for market in client.markets()] == ["KRW-BTC"]
    assert sum(dripping.clock.slept) > len(BODY) / 2, "a byte at a time"
    client.close()


def test_a_deadline_that_comes_before_the_timeout_says_so(dripping: Dripping, tmp_path: Path) -> None:
    client = client_of(dripping, tmp_path, timeout=1000)
    with pytest.raises(OutOfTime, match=r"no answer in the 1\d\.0 s"):
        client.within(Deadline(dripping.clock, 20), attempts=4).markets()
    with pytest.raises(OutOfTime, match="not requested"):
        client.within(Deadline(dripping.clock, 0.1), attempts=4).markets()
    client.close()
