"""The step of the DAG `forecast_candle`: after new candles or a new model, the Flask service makes a forecast."""

from __future__ import annotations

from typing import Any

import requests
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

from upbit_elt import direct
from upbit_elt.errors import ForecastError, NoModel, NotEnoughHistory

# Types of the service's problems (flask_app/problems.py) that have an error of their own here.
_ERRORS: dict[str, type[ForecastError]] = {
    "/problems/no_model": NoModel,
    "/problems/not_enough_history": NotEnoughHistory,
}


def request_forecast(flask_url: str, token: str, timeout: float = 120.0) -> dict[str, Any]:
    """Make the Flask service compute and store the forecast of the newest covered minute; returns its JSON response.

    `timeout` is in seconds. When the service refuses the connection, the request is retried for some seconds, as the
    service may be starting.

    Raises:
        NoModel: there is no trained model yet.
        NotEnoughHistory: too few minutes are closed.
        ForecastError: the service does not answer, sends no JSON, or reports an error; the message says which.
    """
    try:
        response = _post(f"{flask_url}/api/v1/forecasts", token, timeout)
    except requests.RequestException as error:
        raise ForecastError(f"{flask_url} gives no answer ({type(error).__name__}, timeout {timeout:g} s)") from error
    try:
        body: Any = response.json()
    except requests.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        words = f"{response.status_code}, which is no answer of the forecast service: {response.text[:80]!r}"
        raise ForecastError(f"{flask_url}: {words}")
    if response.ok:
        return body
    text = f"{flask_url}: {response.status_code} {body.get('title')}: {body.get('detail')}"
    raise _ERRORS.get(str(body.get("type")), ForecastError)(text)


@retry(
    retry=retry_if_exception_type(requests.ConnectionError),
    wait=wait_exponential(max=10),
    stop=stop_after_attempt(5),
    reraise=True,
)
def _post(url: str, token: str, timeout: float) -> requests.Response:
    return direct.request("POST", url, headers={"Authorization": f"Bearer {token}"}, timeout=timeout)
