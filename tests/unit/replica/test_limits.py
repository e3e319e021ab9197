"""Ten tickets a second, text 429, 418 that grows, and what an Origin header does."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from upbit_elt.replica import Source, create_replica

from .conftest import FakeClock

MINUTES = "/v1/candles/minutes/1?market=KRW-BTC"


@pytest.fixture
def client(source: Source, clock: FakeClock) -> FlaskClient:
    return create_replica(source, clock).test_client()


def from_address(client: FlaskClient, address: str, path: str = MINUTES) -> TestResponse:
    return client.get(path, environ_base={"REMOTE_ADDR": address})


def test_the_header_counts_down_and_the_eleventh_request_is_refused(client: FlaskClient) -> None:
    answers = [client.get(MINUTES) for _ in range(12)]
    assert [response.status_code for response in answers] == [200] * 10 + [429] * 2
    left = [response.headers["Remaining-Req"] for response in answers[:10]]
    assert left == [f"group=candles; min=600; sec={n}" for n in range(9, -1, -1)]
    quarantined = answers[-1]
    assert quarantined.text == "Too many API requests."
    assert quarantined.content_type.startswith("text/plain")
    assert "Retry-After" not in quarantined.headers


def test_the_window_is_opened_by_the_first_request(client: FlaskClient, clock: FakeClock) -> None:
    client.get(MINUTES)
    clock.advance(seconds=0.9)
    assert [client.get(MINUTES).status_code for _ in range(10)] == [200] * 9 + [429]
    clock.advance(seconds=0.1)
    assert client.get(MINUTES).headers["Remaining-Req"].endswith("sec=9")


def test_requests_spaced_by_110_ms_always_pass(client: FlaskClient, clock: FakeClock) -> None:
    for _ in range(100):
        assert client.get(MINUTES).status_code == 200
        clock.advance(seconds=0.11)


def test_groups_and_addresses_count_apart(client: FlaskClient) -> None:
    assert [client.get(MINUTES).status_code for _ in range(11)][-1] == 429
    assert client.get("/v1/candles/days?market=KRW-BTC").status_code == 429  # all candles are one group
    assert client.get("/v1/market/all").headers["Remaining-Req"] == "group=market; min=600; sec=9"
    assert client.get("/v1/ticker?markets=KRW-BTC").headers["Remaining-Req"].startswith("group=ticker;")
    assert from_address(client, "10.0.0.2").status_code == 200


def test_errors_use_tickets_but_paths_that_do_not_exist_use_none(client: FlaskClient) -> None:
    assert client.get("/v1/candles/minutes/1").headers["Remaining-Req"].endswith("sec=9")
    assert "Remaining-Req" not in client.get("/v1/candles/nothing").headers
    assert client.get(MINUTES).headers["Remaining-Req"].endswith("sec=8")


def test_an_origin_header_leaves_one_request_in_ten_seconds(client: FlaskClient, clock: FakeClock) -> None:
    browser = {"Origin": "https://example.com"}
    assert client.get(MINUTES, headers=browser).headers["Remaining-Req"] == "group=origin; min=600; sec=0"
    assert client.get("/v1/market/all", headers=browser).status_code == 429
    clock.advance(seconds=9.9)
    assert client.get(MINUTES, headers=browser).status_code == 429
    clock.advance(seconds=0.1)
    assert client.get(MINUTES, headers=browser).status_code == 200
    assert client.get(MINUTES).status_code == 200


def press_on(client: FlaskClient) -> TestResponse:
    """Sends requests in spite of each 429 until the response is a ban."""
    for _ in range(60):
        response = client.get(MINUTES)
        if response.status_code == 418:
            return response
    raise AssertionError("no ban after 60 requests at once")


def test_a_client_that_ignores_429_is_blocked_in_all_groups(client: FlaskClient, clock: FakeClock) -> None:
    assert "blocked for 60 seconds" in press_on(client).text
    clock.advance(seconds=30)
    assert client.get("/v1/market/all").status_code == 418
    assert "blocked for 30 seconds" in client.get(MINUTES).text
    assert from_address(client, "10.0.0.2").status_code == 200
    clock.advance(seconds=30)
    assert client.get(MINUTES).status_code == 200


def test_bans_grow_up_to_an_hour_and_are_forgiven_after_a_day(client: FlaskClient, clock: FakeClock) -> None:
    seconds_blocked = []
    for _ in range(8):
        seconds_blocked.append(int(press_on(client).text.split("blocked for ")[1].split()[0]))
        clock.advance(seconds=seconds_blocked[-1])
    assert seconds_blocked == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    clock.advance(days=1)
    assert "blocked for 60 seconds" in press_on(client).text


def test_75_scattered_refusals_lead_to_no_ban(client: FlaskClient, clock: FakeClock) -> None:
    quarantined = 0
    while quarantined < 75:
        statuses = [client.get(MINUTES).status_code for _ in range(13)]
        quarantined += statuses.count(429)
        assert 418 not in statuses
        clock.advance(seconds=2)


def test_latency_is_spent_on_every_answer(source: Source, clock: FakeClock) -> None:
    spent: list[float] = []
    client = create_replica(source, clock, latency=0.171, pause=spent.append).test_client()
    client.get(MINUTES)
    client.get("/v1/nothing")
    assert spent == [0.171, 0.171]
