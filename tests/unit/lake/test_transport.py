"""What goes wrong between us and WebHDFS is one typed error with a sentence, whatever library noticed it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from threading import Event, Thread

import pytest

from tests.support.ports import free_ports
from upbit_elt.errors import LakeCorrupt, LakeUnavailable
from upbit_elt.lake.connect import connect
from upbit_elt.lake.webhdfs import Lake

PATH = "/candle/261124/live-1/a.parquet"
BODY = b"0123456789" * 10
STATUS = json.dumps({"FileStatus": {"length": len(BODY), "type": "FILE", "modificationTime": 0}}).encode()
LENGTH = b"Content-Length: %d\r\n"
OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


class Wire:
    """A WebHDFS whose bytes on the wire are the test's: `answers` by operation, each the whole of an answer.

    After an answer it hangs up; after those of the operations in `stalled` it says nothing more until the end.
    """

    def __init__(self, **answers: bytes) -> None:
        self.answers = answers
        self.stalled: set[str] = set()
        self._over = Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def lake(self) -> Lake:
        return Lake(connect(self.url, "tester", timeout=0.3))

    def close(self) -> None:
        self._over.set()
        socket.create_connection(self._socket.getsockname()).close()  # wakes it
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            with self._socket.accept()[0] as connection:
                request = connection.recv(65536).decode()
                if "op=" in request:
                    operation = request.split("op=")[1].split("&")[0].split(" ")[0].lower()
                    connection.sendall(self.answers[operation])
                    if operation in self.stalled:
                        self._over.wait()


Starts = Callable[..., Wire]


@pytest.fixture
def wire() -> Iterator[Starts]:
    made: list[Wire] = []

    def start(**answers: bytes) -> Wire:
        made.append(Wire(**answers))
        return made[-1]

    yield start
    for one in made:
        one.close()


def whole(body: bytes, *headers: bytes) -> bytes:
    return OK + b"".join(headers) + LENGTH % len(body) + b"\r\n" + body


def test_a_body_that_is_cut_is_the_lake_being_away(wire: Starts) -> None:
    lake = wire(open=OK + LENGTH % len(BODY) + b"\r\n" + BODY[:40]).lake()
    with pytest.raises(LakeUnavailable, match="does not answer"):
        lake.read(PATH)


def test_a_body_that_stalls_is_the_lake_being_away(wire: Starts) -> None:
    there = wire(open=OK + LENGTH % len(BODY) + b"\r\n" + BODY[:40])
    there.stalled = {"open"}
    with pytest.raises(LakeUnavailable, match=r"does not answer \(ReadTimeoutError\)"):
        there.lake().read(PATH)


def test_a_chunked_body_that_is_cut_is_the_lake_being_away(wire: Starts) -> None:
    lake = wire(open=OK + b"Transfer-Encoding: chunked\r\n\r\n28\r\n" + BODY[:40] + b"\r\n").lake()
    with pytest.raises(LakeUnavailable, match="does not answer"):
        lake.read(PATH)


def test_a_body_that_ends_early_without_having_said_its_length_is_noticed(wire: Starts) -> None:
    lake = wire(open=OK + b"\r\n" + BODY[:40], getfilestatus=whole(STATUS)).lake()
    with pytest.raises(LakeUnavailable, match="40 of 100 bytes"):
        lake.read(PATH)
    with pytest.raises(LakeUnavailable, match="40 of 60 bytes"):
        lake.read(PATH, offset=20, length=60)


def test_fewer_bytes_than_requested_are_noticed_unless_the_file_ends(wire: Starts) -> None:
    lake = wire(open=whole(BODY[:40]), getfilestatus=whole(STATUS)).lake()
    with pytest.raises(LakeUnavailable, match="40 of 50 bytes"):
        lake.read(PATH, offset=10, length=50)
    assert lake.read(PATH, offset=60, length=50) == BODY[:40], "the file ends there"


PAGE = whole(b"<html>Please log in</html>", b"Content-Type: text/html; charset=utf-8\r\n")
OTHER_JSON = {"list": b"[]", "of another form": b'{"a": 1}', "null": b"null", "text": b'"x"'}


def everything(lake: Lake) -> list[Callable[[], object]]:
    return [
        lambda: lake.list("/candle"),
        lambda: lake.size(PATH),
        lambda: lake.read(PATH),
        lambda: lake.create(PATH, b"x"),
        lambda: lake.rename(PATH, "/b"),
        lambda: lake.delete(PATH),
        lambda: lake.make_folder("/candle"),
    ]


OPERATIONS = ("liststatus", "getfilestatus", "open", "create", "rename", "delete", "mkdirs")


def test_the_page_of_a_proxy_is_neither_a_file_nor_a_done_deed(wire: Starts) -> None:
    for call in everything(wire(**dict.fromkeys(OPERATIONS, PAGE)).lake()):
        with pytest.raises(LakeUnavailable, match="proxy"):
            call()


@pytest.mark.parametrize("text", OTHER_JSON.values(), ids=OTHER_JSON)
def test_json_of_another_form_is_not_a_folder_nor_a_missing_file(wire: Starts, text: bytes) -> None:
    answers = dict.fromkeys(("liststatus", "getfilestatus", "create", "delete"), whole(text))
    for call in [c for i, c in enumerate(everything(wire(**answers).lake())) if OPERATIONS[i] in answers]:
        with pytest.raises(LakeUnavailable, match="proxy"):
            call()


@pytest.mark.parametrize("status", [b"500 Oops", b"502 Bad Gateway", b"403 Forbidden"])
@pytest.mark.parametrize("text", [b"<html>sorry</html>", b"[]", b"{}", b""])
def test_an_error_response_is_not_taken_for_a_missing_file(wire: Starts, status: bytes, text: bytes) -> None:
    response = whole(text).replace(b"200 OK", status)
    for call in everything(wire(**dict.fromkeys(OPERATIONS, response)).lake()):
        with pytest.raises(LakeUnavailable):
            call()


def test_a_missing_file_has_no_size_and_cannot_be_read(wire: Starts) -> None:
    missing = {"RemoteException": {"exception": "FileNotFoundException", "message": "File does not exist"}}
    response = whole(json.dumps(missing).encode()).replace(b"200 OK", b"404 Not Found")
    lake = wire(getfilestatus=response, open=response, liststatus=response).lake()
    assert (lake.size(PATH), lake.exists(PATH), lake.list("/candle")) == (None, False, [])
    with pytest.raises(LakeCorrupt, match="no such file"):
        lake.read(PATH)


def test_no_response_at_all_means_that_the_lake_is_away(wire: Starts) -> None:
    for call in everything(wire(**dict.fromkeys(OPERATIONS, b"")).lake()):
        with pytest.raises(LakeUnavailable, match="does not answer"):
            call()


def test_a_delegation_token_stands_in_no_error() -> None:
    (closed,) = free_ports(1)
    with pytest.raises(LakeUnavailable, match="does not answer") as raised:
        Lake(connect(f"http://127.0.0.1:{closed}", "ann", "token", "dt-secret")).list("/candle")
    assert "dt-secret" not in str(raised.value)
    assert "/webhdfs/v1/candle" in str(raised.value)
