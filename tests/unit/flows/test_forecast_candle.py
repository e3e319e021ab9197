"""What the DAG forecast_candle makes of the answers of the Flask service."""

from __future__ import annotations

import pytest

from tests.unit.stack.conftest import Stub, stub
from upbit_elt.errors import ForecastError, NoModel
from upbit_elt.flows.forecast_candle import request_forecast

__all__ = ["stub"]  # a fixture
POST = "POST /api/v1/forecasts"


def test_a_forecast_that_was_made_is_given(stub: Stub) -> None:
    stub.answers[POST] = (200, {"origin": "2026-11-24T03:00:00Z", "rows": 9})
    assert request_forecast(stub.url, "token")["rows"] == 9


def test_no_model_yet_is_not_taken_for_an_error(stub: Stub) -> None:
    stub.answers[POST] = (409, {"title": "No model", "detail": "run train_forecast"})
    with pytest.raises(NoModel, match="run train_forecast"):
        request_forecast(stub.url, "token")
    stub.answers[POST] = (503, {"title": "Busy", "detail": "later"})
    with pytest.raises(ForecastError, match="503 Busy: later"):
        request_forecast(stub.url, "token")


@pytest.mark.parametrize("body", ["<html>Bad gateway</html>", "", "7", "[]", "null"])
@pytest.mark.parametrize("status", [200, 409, 502])
def test_a_response_that_is_not_the_services_is_an_error_of_one_sentence(stub: Stub, status: int, body: str) -> None:
    stub.answers[POST] = (status, body)
    with pytest.raises(ForecastError, match=f"{status}, which is no answer of the forecast service"):
        request_forecast(stub.url, "token")
