from __future__ import annotations

from datetime import timedelta

from tests.support.clock import utc
from upbit_elt.backfill.staging import pages_of
from upbit_elt.candle import MINUTE
from upbit_elt.collect.plan import FetchRequest

START = utc(0)


def test_a_day_takes_eight_requests_at_most() -> None:
    assert pages_of(FetchRequest("KRW-A", START, START + timedelta(days=1))) == 8
    assert pages_of(FetchRequest("KRW-A", START, START + MINUTE)) == 1
