"""Computes the forecasts of all markets at one origin."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa

from upbit_elt.candle import MINUTE, floor_minute, wire
from upbit_elt.errors import NotEnoughHistory
from upbit_elt.forecast import features
from upbit_elt.forecast.artifacts import Champion
from upbit_elt.forecast.evaluate import forecast
from upbit_elt.forecast.panel import Panel
from upbit_elt.forecast.schema import FORECAST_SCHEMA, HORIZONS, QUANTILE_COLUMNS


def predict(champion: Champion, panel: Panel, origin: datetime) -> pa.Table:
    """Forecast every market with a known price at `origin` (UTC minute); gives a table with FORECAST_SCHEMA, in which
    `issued_utc` is null until it is stored.

    The features are computed from the panel's minutes before the origin, features.LOOKBACK of them at most.

    Raises:
        NotEnoughHistory: the panel does not reach the origin, or covers too few minutes before it.
    """
    origin = floor_minute(origin)
    if origin > panel.end:
        raise NotEnoughHistory(f"candles are known until {wire(panel.end)}, not until {wire(origin)} (UTC)")
    past = panel.until(origin).tail(features.LOOKBACK)
    covered = int(past.covered.sum())
    if covered < features.WARMUP:
        raise NotEnoughHistory(
            f"a forecast needs {features.WARMUP} minutes of candles before {wire(origin)} UTC, there are {covered}"
        )
    batch = features.batch(past, np.array([past.minutes - 1]))
    predicted = forecast(champion.model, batch)
    markets = [past.markets[number] for number in batch.market]
    count, steps = len(markets), len(HORIZONS)
    targets = [wire(origin + horizon * MINUTE) for horizon in HORIZONS]
    columns = {
        "market": np.repeat(markets, steps),
        "origin": [wire(origin)] * (count * steps),
        "horizon": np.tile(HORIZONS, count),
        "target": targets * count,
        **{name: predicted.prices[..., i].ravel() for i, name in enumerate(QUANTILE_COLUMNS)},
        "expected_volume": predicted.volume.ravel(),
        "volatility": predicted.volatility.ravel(),
        "model_version": [champion.version] * (count * steps),
        "issued_utc": pa.nulls(count * steps, pa.string()),
    }
    return pa.table(columns, schema=FORECAST_SCHEMA)
