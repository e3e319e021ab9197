from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from threading import Event

import pytest
import requests

from tests.unit.replica.conftest import NOON, FakeClock
from upbit_elt.replica import Source, create_replica, inject, running
from upbit_elt.replica.bad_rows import BAD_ROWS
from upbit_elt.replica.faults import KINDS, parse_rates

PATH = "/v1/candles/minutes/1"


def spoilt(source: Source, seed: int, rates: dict[str, float], requests: int = 200) -> tuple[list[bytes], Counter[str]]:
    """Bodies and counts of some requests."""
    clock = FakeClock()
    app = create_replica(source, clock)
    faults = inject(app, clock, seed, rates, pause=lambda seconds: None)
    client = app.test_client()
    bodies = []
    for number in range(requests):
        clock.advance(seconds=1)
        query = {"market": "KRW-BTC", "count": 20 + number % 40}
        bodies.append(client.get(PATH, query_string=query).data)
    return bodies, faults.injected


def test_a_seed_makes_the_same_faults_again_and_another_one_others(source: Source) -> None:
    rates = parse_rates("all=0.1")
    first, again, other = (spoilt(source, seed, rates) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert sum(first[1].values()) > 20


def test_every_kind_can_be_thrown_in_and_is_counted(source: Source) -> None:
    for kind in KINDS.keys() - {"stale"}:
        _, counts = spoilt(source, 3, {kind: 0.6}, requests=60)
        assert counts[kind] > 0, kind
        assert set(counts) == {kind} | {name for name in counts if kind == "bad" and name.startswith("bad: ")}


def test_without_rates_the_replica_answers_as_ever(source: Source) -> None:
    clock = FakeClock()
    plain = create_replica(source, clock).test_client().get(f"{PATH}?market=KRW-BTC&count=5")
    app = create_replica(source, clock)
    faults = inject(app, clock, 1, {})
    through = app.test_client().get(f"{PATH}?market=KRW-BTC&count=5")
    assert through.json == plain.json
    assert not faults.injected


def test_every_way_to_spoil_a_row_spoils_it(source: Source) -> None:
    (row,) = json.loads(create_replica(source, FakeClock()).test_client().get(f"{PATH}?market=KRW-BTC&count=1").data)
    for name, spoil in BAD_ROWS.items():
        assert json.dumps(spoil(dict(row))) != json.dumps([row]), name


def test_a_market_is_listed_and_another_delisted_in_mid_run(source: Source) -> None:
    clock = FakeClock()
    app = create_replica(source, clock)
    soon = NOON + timedelta(minutes=10)
    inject(app, clock, 1, {}, listed={"KRW-ETH": soon}, delisted={"KRW-XRP": soon})
    client = app.test_client()

    def rows_of(path: str) -> list[dict[str, str]]:
        rows: list[dict[str, str]] = json.loads(client.get(path).data)
        return rows

    def known() -> dict[str, tuple[bool, int, bool]]:
        codes = {row["market"] for row in rows_of("/v1/market/all")}
        tickers = {row["market"] for row in rows_of("/v1/ticker/all?quote_currencies=KRW")}
        status = {code: client.get(f"{PATH}?market={code}").status_code for code in ("KRW-ETH", "KRW-XRP")}
        return {code: (code in codes, status[code], code in tickers) for code in status}

    assert known() == {"KRW-ETH": (False, 404, False), "KRW-XRP": (True, 200, True)}
    clock.advance(minutes=15)
    assert known() == {"KRW-ETH": (True, 200, True), "KRW-XRP": (False, 404, False)}
    rows = rows_of(f"{PATH}?market=KRW-ETH&count=100")
    assert min(row["candle_date_time_utc"] for row in rows) >= soon.strftime("%Y-%m-%dT%H:%M")


@pytest.mark.parametrize("text", ["storms=0.1", "storm=2", "bad=x"])
def test_a_wrong_spec_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"KIND=RATE|could not convert"):
        parse_rates(text)


def test_over_http_a_cut_response_and_a_hanging_one_are_different_errors(source: Source) -> None:
    app = create_replica(source, FakeClock())
    given_up = Event()
    faults = inject(app, FakeClock(), 1, {"cut": 1.0}, pause=lambda seconds: given_up.wait(60))
    with running(app) as url, requests.Session() as session:
        address = f"{url}{PATH}?market=KRW-BTC&count=50"
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
            session.get(address, timeout=10)
        faults.rates = {"hang": 1.0}
        with pytest.raises(requests.ReadTimeout):
            session.get(address, timeout=0.2)
        given_up.set()
        faults.rates = {}
        assert len(session.get(address, timeout=10).json()) == 50
