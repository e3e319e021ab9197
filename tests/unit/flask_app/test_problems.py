"""Errors are problem documents (RFC 9457) that say what to do, with the right status."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tests.unit.flask_app.world import NOON, World
from upbit_elt.lake.coverage import FOOTER_KEY
from upbit_elt.lake.parquet import coverage_of, decode, parquet_writer


def problem(response: TestResponse) -> dict[str, Any]:
    assert response.content_type == "application/problem+json"
    body: dict[str, Any] = response.get_json()
    assert body["status"] == response.status_code
    assert set(body) >= {"type", "title", "status", "detail"}
    return body


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("market=KRW-BTC&to=9999-12-31T23:59:59Z", "to: '9999-12-31T23:59:59Z' is out of range"),
        ("market=KRW-BTC&to=yesterday", "to: 'yesterday' is no date"),
        ("market=KRW-BTC&to=2026-11-24T12:00:00+09:00", "%2B"),  # an unescaped plus arrives as a space
        ("market=KRW-BTC&from=1732417200", "is no date"),
        ("market=KRW-BTC&from=2026-13-01", "is no date"),
        ("market=KRW-BTC&count=0", "greater than or equal to 1"),
        ("market=KRW-BTC&count=1441", "less than or equal to 1440"),
        ("market=KRW-BTC&count=many", "valid integer"),
        ("market=KRW-BTC&from=2026-11-24T03:00:00&to=2026-11-24T03:00:00", "`from` must be before `to`"),
        ("market=KRW-BTC&form=2026-11-24T03:00:00", "form: no such parameter; there is market, from, to, count"),
        ("market=KRW-BTC&market=KRW-ETH", "market: given more than once"),
        ("", "market: Field required"),
    ],
)
def test_a_wrong_parameter_is_400_and_named(world: World, query: str, says: str) -> None:
    body = problem(world.client.get(f"/api/v1/candles?{query}"))
    assert body["status"] == 400
    assert body["type"] == "/problems/bad_parameter"
    assert says in body["detail"]


@pytest.mark.parametrize("path", ["candles", "forecasts"])
@pytest.mark.parametrize("market", ["KRW-NOPE", "'; DROP TABLE candle; --"])
def test_an_unknown_market_is_404_and_never_reaches_hive(world: World, path: str, market: str) -> None:
    body = problem(world.client.get(f"/api/v1/{path}", query_string={"market": market}))
    assert (body["status"], body["type"]) == (404, "/problems/unknown_market")
    assert "/api/v1/markets" in body["detail"]
    assert world.hive.scanned == []


def test_no_market_is_known_before_the_first_candles(empty_world: World) -> None:
    body = problem(empty_world.client.get("/api/v1/candles?market=KRW-BTC"))
    assert body["status"] == 404
    assert "min_candle" in body["detail"]


def test_an_unknown_path_is_404(world: World) -> None:
    body = problem(world.client.get("/api/v2/candles"))
    assert (body["status"], body["type"], body["title"]) == (404, "about:blank", "Not Found")


def test_a_wrong_method_is_405_and_names_the_right_ones(world: World) -> None:
    response = world.client.delete("/api/v1/candles")
    assert problem(response)["status"] == 405
    assert "GET" in response.headers["Allow"]


@pytest.mark.parametrize("path", ["/readyz", "/api/v1/status", "/api/v1/markets", "/api/v1/candles?market=KRW-BTC"])
@pytest.mark.parametrize(("edge", "name"), [("hive", "hive_unavailable"), ("lake", "lake_unavailable")])
def test_an_edge_that_does_not_answer_is_503(world: World, path: str, edge: str, name: str) -> None:
    getattr(world, edge).up = False
    response = world.client.get(path)
    body = problem(response)
    assert (body["status"], body["type"]) == (503, f"/problems/{name}")
    assert response.headers["Retry-After"].isdigit()


def test_the_service_recovers_when_hive_does(world: World) -> None:
    world.hive.up = False
    assert world.client.get("/api/v1/status").status_code == 503
    world.hive.up = True
    assert world.client.get("/api/v1/status").get_json()["covered_until"] == "2026-11-24T03:00:00Z"


def test_a_statement_that_hive_refuses_is_502_with_hives_words(world: World) -> None:
    world.hive.refusal = "SemanticException Line 1:7 Invalid column reference"
    body = problem(world.client.get("/readyz"))
    assert (body["status"], body["type"]) == (502, "/problems/hive_refused")
    assert "Invalid column" in body["detail"]


def test_an_unexpected_error_is_500_without_its_inside(world: World) -> None:
    app: Flask = world.app

    @app.get("/explode")
    def explode() -> str:
        raise RuntimeError("a password")

    body = problem(app.test_client().get("/explode"))
    assert (body["status"], body["type"]) == (500, "/problems/internal")
    assert "a password" not in str(body)


@pytest.fixture
def other_file(world: World) -> tuple[str, bytes]:
    """A path for one more file of the day's live runs, and the newest file's bytes."""
    day = f"{world.lake.root}/candle/{NOON:%y%m%d}/live-1"
    newest = max(path for path in world.lake.files if path.startswith(day))
    return f"{day}/202611240300_202611240302.parquet", world.lake.files[newest]


def test_a_damaged_file_stops_nothing_and_is_named(
    world: World, other_file: tuple[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    path, data = other_file
    world.lake.files[path] = data[:100]
    response = world.client.get("/api/v1/markets")
    assert response.status_code == 200
    assert [market["market"] for market in response.get_json()] == ["KRW-BTC", "KRW-ETH", "KRW-THIN"]
    assert path in caplog.text


def test_a_file_of_a_newer_release_is_500_and_says_what_to_do(world: World, other_file: tuple[str, bytes]) -> None:
    path, data = other_file
    table, sink = decode(data, path), io.BytesIO()
    document = json.loads(coverage_of(data, "the newest").to_json()) | {"version": 99}
    with parquet_writer(sink, table.schema, {FOOTER_KEY: json.dumps(document).encode()}) as writer:
        writer.write_table(table)
    world.lake.files[path] = sink.getvalue()
    body = problem(world.client.get("/api/v1/markets"))
    assert (body["status"], body["type"]) == (500, "/problems/lake_broken")
    assert path in body["detail"]
    assert "start the newer one" in body["detail"]
