"""The DAGs that a user sees."""

from __future__ import annotations

DAGS = frozenset(
    {
        "min_candle",
        "backfill_candle",
        "close_day",
        "prove_day",
        "train_forecast",
        "forecast_candle",
        "score_forecast",
        "housekeeping",
    }
)
