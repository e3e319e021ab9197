"""Endpoints that somebody makes hang or fail while the replica runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.replica.conftest import FakeClock
from upbit_elt.replica import Source, create_replica, inject
from upbit_elt.replica.faults import HANG
from upbit_elt.replica.outage import HANGS, TEXT, Outage, from_file, parse_outages

CANDLES, TICKER, MARKETS = "/v1/candles/minutes/1?market=", "/v1/ticker/all?quote_currencies=KRW", "/v1/market/all"


def test_an_outage_begins_and_ends_with_its_file(source: Source, tmp_path: Path) -> None:
    clock, file, waits = FakeClock(), tmp_path / "outage", list[float]()
    app = create_replica(source, clock)
    faults = inject(app, clock, 1, {}, outages=from_file(file), pause=waits.append)
    client = app.test_client()

    def statuses() -> list[int]:
        clock.advance(seconds=5)
        return [client.get(path).status_code for path in (CANDLES + "KRW-BTC", CANDLES + "KRW-ETH", TICKER, MARKETS)]

    assert statuses() == [200, 200, 200, 200]
    file.write_text("candles=503")
    assert statuses() == [503, 503, 200, 200]
    file.write_text("candles:KRW-ETH=hang\nticker=500, market=502")
    assert statuses() == [200, 504, 500, 502]
    assert waits == [HANG], "it was longer under way than anybody waits"
    file.unlink()
    assert statuses() == [200, 200, 200, 200]
    assert faults.injected == {"outage: candles": 3, "outage: ticker": 1, "outage: market": 1}


def test_a_share_of_the_markets_is_always_the_same_markets(source: Source) -> None:
    names = [market.code for market in source.markets()]
    broken = []
    for _ in range(2):
        clock = FakeClock()
        app = create_replica(source, clock)
        inject(app, clock, 1, {}, outages=lambda: parse_outages("candles:0.3=500"))
        statuses = {}
        for name in names:
            clock.advance(seconds=1)
            statuses[name] = app.test_client().get(CANDLES + name).status_code
        broken.append({name for name, status in statuses.items() if status == 500})
    assert broken[0] == broken[1]
    assert 0 < len(broken[0]) < len(names)


def test_the_newest_price_of_a_market_comes_as_text(source: Source) -> None:
    clock = FakeClock()
    app = create_replica(source, clock)
    inject(app, clock, 1, {}, outages=lambda: parse_outages("candles:KRW-ETH=text"))

    def prices(market: str) -> list[object]:
        clock.advance(seconds=1)
        return [row["trade_price"] for row in app.test_client().get(CANDLES + market + "&count=5").json or ()]

    newest, *others = prices("KRW-ETH")
    assert others
    assert isinstance(newest, str)
    assert str not in {type(price) for price in others}
    assert str not in {type(price) for price in prices("KRW-BTC")}


def test_outages_are_written_as_documented() -> None:
    assert parse_outages("candles:0.2=text") == (Outage("candles", TEXT, share=0.2),)
    assert parse_outages("") == ()
    assert parse_outages("candles=hang") == (Outage("candles", HANGS),)
    assert parse_outages("candles:0.07=503 market=502") == (
        Outage("candles", 503, share=0.07),
        Outage("market", 502),
    )


@pytest.mark.parametrize("text", ["candle=hang", "candles", "candles=200", "candles=slow", "candles:7=500", "=hang"])
def test_an_invalid_outage_is_an_error_with_the_allowed_form(text: str) -> None:
    with pytest.raises(ValueError, match=r"ENDPOINT=hang|from 0 to 1"):
        parse_outages(text)
