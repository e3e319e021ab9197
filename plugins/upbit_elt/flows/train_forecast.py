"""The steps of the DAG `train_forecast`, daily: train a model, and promote it when it is better than the one in use."""

from __future__ import annotations

from typing import Any

from upbit_elt.clock import SystemClock
from upbit_elt.lake import ledger
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive
from upbit_elt.warehouse.tables import days


def has_candles(settings: Settings) -> bool:
    """Whether the lake has candles, and Hive a day of them."""
    if ledger.live_coverage(Lake.from_settings(settings)) is None:
        return False
    with Hive.from_settings(settings).session() as session:
        return bool(days(session, settings, "candle"))


def train_model(settings: Settings) -> dict[str, Any]:
    """Train a model on the lake's candles and promote it when it is better; returns the model's card.

    Raises:
        NotEnoughHistory: there are too few closed minutes.
    """
    from upbit_elt.forecast.promote import train_and_promote  # noqa: PLC0415 - torch only where it trains

    return train_and_promote(Lake.from_settings(settings), Hive.from_settings(settings), settings, SystemClock().now())
