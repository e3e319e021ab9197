"""A synthetic exchange of few markets and a clock that only the test moves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from werkzeug.test import TestResponse

from upbit_elt.replica import Source, SyntheticSource, create_replica

NOON = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)
Get = Callable[..., TestResponse]


class FakeClock:
    """Callable clock."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture(scope="session")
def source() -> Source:
    """64 coins in three quote currencies, from KRW-BTC that trades every minute to some that trade once in hours."""
    return SyntheticSource(seed=7, markets=64, quotes=("KRW", "BTC", "USDT"))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def get(source: Source, clock: FakeClock) -> Get:
    """GET below /v1."""
    client = create_replica(source, clock).test_client()

    def call(path: str, headers: dict[str, str] | None = None, /, **query: Any) -> TestResponse:
        response = client.get("/v1" + path, query_string=query or None, headers=headers)
        if response.status_code == 429:
            raise AssertionError("the test ran into the rate limit; it must advance its clock")
        return response

    return call
