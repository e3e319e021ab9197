from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.clock import ManualClock, utc
from tests.support.exchange import HandlerAdapter, headers_at, session_on
from tests.support.state import in_use
from upbit_elt.collect.plan import FetchRequest
from upbit_elt.errors import ServerTrouble
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.limits import AddressLimits
from upbit_elt.quality.compare import exchange_candles

SPANS = [FetchRequest(f"KRW-{number}", utc(1), utc(1, 2)) for number in range(3)]


@pytest.fixture
def client(tmp_path: Path) -> UpbitClient:
    adapter, clock = HandlerAdapter(lambda *_: (200, "[]", headers_at(utc(2)))), ManualClock(utc(2))
    limits = AddressLimits(tmp_path, 1000, clock, patience=0.02)
    return UpbitClient("http://exchange", limits, clock, session=session_on(adapter))


def test_a_rate_limit_that_is_busy_for_a_while_does_not_end_the_comparison(client: UpbitClient, tmp_path: Path) -> None:
    exchange_candles(client, SPANS, 2, lambda: None)
    with ExitStack() as busy:
        busy.enter_context(in_use(tmp_path / "limits.db"))
        exchange_candles(client, SPANS, 2, busy.close)
    client.close()


def test_a_rate_limit_that_is_always_busy_is_named_and_not_taken_for_a_difference(
    client: UpbitClient, tmp_path: Path
) -> None:
    exchange_candles(client, SPANS, 2, lambda: None)
    with (
        in_use(tmp_path / "limits.db"),
        pytest.raises(ServerTrouble, match=r"cannot be compared: .*limits\.db was in use"),
    ):
        exchange_candles(client, SPANS[:1], 2, lambda: None)
    client.close()
