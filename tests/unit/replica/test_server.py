"""The server on a socket: connections stay open, and the command says what is wrong."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from upbit_elt.candle import to_table
from upbit_elt.replica import Source, SyntheticSource, create_replica, running, truth
from upbit_elt.replica.__main__ import main

from .conftest import FakeClock

MINUTES = "/v1/candles/minutes/1?market=KRW-BTC&count=200"


def connection(origin: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(origin).netloc, timeout=10)


def test_one_connection_serves_many_requests(source: Source, clock: FakeClock) -> None:
    with running(create_replica(source, clock)) as origin:
        client = connection(origin)
        client.connect()
        opened = client.sock
        for path, status in ((MINUTES, 200), ("/v1/nothing", 404), (MINUTES, 200)):
            client.request("GET", path)
            response = client.getresponse()
            assert response.status == status
            assert len(response.read()) == int(response.headers["Content-Length"])
            assert response.headers.get_all("Date") == ["Tue, 24 Nov 2026 12:00:30 GMT"]
            assert client.sock is opened
        client.close()


def test_a_head_request_has_headers_only(source: Source, clock: FakeClock) -> None:
    with running(create_replica(source, clock)) as origin:
        client = connection(origin)
        client.request("HEAD", MINUTES)
        response = client.getresponse()
        assert int(response.headers["Content-Length"]) > 10_000
        assert response.read() == b""
        client.request("GET", MINUTES)
        assert client.getresponse().status == 200
        client.close()


def test_a_request_with_a_body_does_not_spoil_the_next_one(source: Source, clock: FakeClock) -> None:
    with running(create_replica(source, clock)) as origin:
        client = connection(origin)
        client.request("POST", "/v1/market/all", body=b"GET /v1/market/all HTTP/1.1\r\n\r\n")
        response = client.getresponse()
        assert (response.status, response.headers["Connection"]) == (404, "close")
        response.read()
        client.request("GET", MINUTES)
        assert client.getresponse().status == 200
        client.close()


def refusal(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code != 0
    return result.output


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"cannot listen on 127.0.0.1:{port}" in refusal("--port", port, "--markets", "1")
    assert "not EUR" in refusal("--quotes", "KRW,EUR")
    assert "no Parquet file" in refusal("--replay", str(tmp_path))
    assert "does not exist" in refusal("--replay", str(tmp_path / "nowhere"))
    assert "0<=x<=65535" in refusal("--port", "70000")


@pytest.mark.parametrize("replay", [False, True])
def test_neither_source_loads_pandas_or_torch(tmp_path: Path, replay: bool) -> None:
    start = datetime(2026, 1, 5, tzinfo=UTC)
    table = to_table(truth(SyntheticSource(markets=1), "KRW-BTC", start, start + timedelta(days=8)))
    pq.write_table(table, tmp_path / "candles.parquet")
    program = f"""
import sys
from pathlib import Path
from upbit_elt.replica import ReplaySource, SyntheticSource, create_replica
source = ReplaySource(Path({str(tmp_path)!r})) if {replay} else SyntheticSource()
client = create_replica(source).test_client()
assert client.get("/v1/candles/minutes/60?market=KRW-BTC&count=9").status_code == 200
assert client.get("/v1/ticker?markets=KRW-BTC").status_code == 200
print([name for name in ("pandas", "torch") if name in sys.modules])
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3] / "plugins")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
