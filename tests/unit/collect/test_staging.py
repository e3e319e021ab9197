from __future__ import annotations

from datetime import timedelta

from tests.support.clock import utc
from upbit_elt.candle import MINUTE
from upbit_elt.collect.plan import Ask
from upbit_elt.collect.staging import _joined as joined
from upbit_elt.collect.staging import requests_of

START = utc(0)


def test_gaps_between_known_minutes_are_asked_as_one_where_that_costs_nothing() -> None:
    pieces = [(START + n * MINUTE, START + (n + 9) * MINUTE) for n in range(0, 190, 10)]
    assert list(joined(pieces)) == [(START, START + 189 * MINUTE)]
    far = [(START, START + 10 * MINUTE), (START + 900 * MINUTE, START + 910 * MINUTE)]
    assert list(joined(far)) == far


def test_a_day_takes_eight_requests_at_most() -> None:
    assert requests_of(Ask("KRW-A", START, START + timedelta(days=1))) == 8
    assert requests_of(Ask("KRW-A", START, START + MINUTE)) == 1
