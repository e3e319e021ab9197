from __future__ import annotations

from datetime import timedelta

from tests.support.clock import utc
from upbit_elt.candle import MINUTE
from upbit_elt.collect.plan import Ask
from upbit_elt.collect.staging import requests_of

START = utc(0)


def test_a_day_takes_eight_requests_at_most() -> None:
    assert requests_of(Ask("KRW-A", START, START + timedelta(days=1))) == 8
    assert requests_of(Ask("KRW-A", START, START + MINUTE)) == 1
