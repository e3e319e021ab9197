"""What the DAG forecast_candle makes of the answers of the Flask service."""

from __future__ import annotations

import pytest

from flask_app.problems import kind_of
from tests.unit.stack.conftest import Stub, stub
from upbit_elt.errors import ForecastError, NoModel, NotEnoughHistory, UpbitEltError
from upbit_elt.flows.forecast_candle import request_forecast

__all__ = ["stub"]  # a fixture
POST = "POST /api/v1/forecasts"


def test_a_forecast_that_was_made_is_given(stub: Stub) -> None:
    stub.answers[POST] = (200, {"origin": "2026-11-24T03:00:00Z", "rows": 9})
    assert request_forecast(stub.url, "token")["rows"] == 9


def test_no_model_yet_is_not_taken_for_an_error(stub: Stub) -> None:
    stub.answers[POST] = (409, {"type": "/problems/no_model", "title": "No model", "detail": "run train_forecast"})
    with pytest.raises(NoModel, match="409 No model: run train_forecast"):
        request_forecast(stub.url, "token")
    stub.answers[POST] = (503, {"type": "/problems/busy", "title": "Busy", "detail": "later"})
    with pytest.raises(ForecastError, match="503 Busy: later"):
        request_forecast(stub.url, "token")


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("/problems/not_enough_history", NotEnoughHistory),
        ("about:blank", ForecastError),
        (["no type"], ForecastError),
        (None, ForecastError),
    ],
)
def test_another_conflict_is_not_taken_for_nothing_trained(stub: Stub, kind: object, error: type[Exception]) -> None:
    stub.answers[POST] = (409, {"type": kind, "title": "Conflict", "detail": "too few minutes"})
    with pytest.raises(ForecastError, match="409 Conflict: too few minutes") as caught:
        request_forecast(stub.url, "token")
    assert caught.type is error


@pytest.mark.parametrize(("error", "kind"), [(NoModel("x"), "no_model"), (NotEnoughHistory("x"), "not_enough_history")])
def test_the_types_are_those_that_the_service_sends(error: UpbitEltError, kind: str) -> None:
    assert kind_of(error).name == kind


@pytest.mark.parametrize("body", ["<html>Bad gateway</html>", "", "7", "[]", "null"])
@pytest.mark.parametrize("status", [200, 409, 502])
def test_a_response_that_is_not_the_services_is_an_error_of_one_sentence(stub: Stub, status: int, body: str) -> None:
    stub.answers[POST] = (status, body)
    with pytest.raises(ForecastError, match=f"{status}, which is no answer of the forecast service"):
        request_forecast(stub.url, "token")
