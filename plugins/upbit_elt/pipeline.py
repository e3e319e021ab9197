"""The steps of the flow, as DAGs and the command line call them: each takes the settings and does one thing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import requests
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

from upbit_elt.clock import SystemClock
from upbit_elt.collect.window import Collected, Collector
from upbit_elt.direct import ask
from upbit_elt.errors import ForecastError, NoModel
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.lake import ledger
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive
from upbit_elt.warehouse.show import Day
from upbit_elt.warehouse.show import show as show_waiting
from upbit_elt.warehouse.tables import days


def collect(settings: Settings, run_id: str) -> Collected:
    """Bring the lake up to the last closed minute. Raises as Collector.run."""
    clock = SystemClock()
    client = UpbitClient.from_settings(settings, clock)
    try:
        return Collector(client, Lake.from_settings(settings), settings, clock).run(run_id)
    finally:
        client.close()


def show(settings: Settings, wanted: Iterable[str], folders: Mapping[str, str] | None = None) -> list[str]:
    """Make Hive show the current generation of KST days, and all else that waits for it (a run that died may have left
    it so); returns the days of candles that had to be changed.

    `folders` are those in which candles of the days were published, where that is known.

    Raises:
        WarehouseError: Hive did not do it; run it again.
    """
    return show_in(Hive.from_settings(settings), Lake.from_settings(settings), settings, wanted, folders)


def show_in(
    hive: Hive, lake: Lake, settings: Settings, wanted: Iterable[str], folders: Mapping[str, str] | None = None
) -> list[str]:
    """As `show`, with a lake and a Hive that are there already."""
    touched = {Day("candle", day): (folders or {}).get(day) for day in wanted}
    return [day for kind, day in show_waiting(lake, hive, settings, touched) if kind == "candle"]


def has_candles(settings: Settings) -> bool:
    """Whether the lake holds a window and Hive shows it."""
    if ledger.newest(Lake.from_settings(settings)) is None:
        return False
    with Hive.from_settings(settings).session() as session:
        return bool(days(session, settings, "candle"))


def train_model(settings: Settings) -> dict[str, Any]:
    """Train on what the lake holds and promote if better; returns the model's card.

    Raises:
        NotEnoughHistory: there are too few closed minutes.
    """
    from upbit_elt.forecast.promote import train_and_promote  # noqa: PLC0415 - torch only where it trains

    return train_and_promote(Lake.from_settings(settings), Hive.from_settings(settings), settings, SystemClock().now())


def request_forecast(flask_url: str, token: str, timeout: float = 120.0) -> dict[str, Any]:
    """Let the Flask service compute and store the forecast of the newest covered minute; returns its answer.

    `timeout` in seconds. A service that refuses the connection is asked again for some seconds: it may be starting.

    Raises:
        NoModel: nothing has been trained yet.
        ForecastError: the service does not answer, gives no JSON, or refused; the message says which.
    """
    try:
        answer = _post(f"{flask_url}/api/v1/forecasts", token, timeout)
    except requests.RequestException as error:
        raise ForecastError(f"{flask_url} gives no answer ({type(error).__name__}, timeout {timeout:g} s)") from error
    try:
        body: Any = answer.json()
    except requests.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        page = f"{answer.status_code}, which is no answer of the forecast service: {answer.text[:80]!r}"
        raise ForecastError(f"{flask_url}: {page}")
    if answer.ok:
        return body
    text = f"{flask_url}: {answer.status_code} {body.get('title')}: {body.get('detail')}"
    raise NoModel(text) if answer.status_code == 409 else ForecastError(text)


@retry(
    retry=retry_if_exception_type(requests.ConnectionError),
    wait=wait_exponential(max=10),
    stop=stop_after_attempt(5),
    reraise=True,
)
def _post(url: str, token: str, timeout: float) -> requests.Response:
    return ask("POST", url, headers={"Authorization": f"Bearer {token}"}, timeout=timeout)
