"""Shape of a forecast: horizons, quantiles, and the Arrow schema of its rows in HDFS, Hive and Flask."""

from __future__ import annotations

import pyarrow as pa

from upbit_elt.lake.table_spec import TableSpec

HORIZONS = (1, 2, 3, 5, 10, 15, 30, 60)
"""Minutes from the origin to the target."""

QUANTILES = (0.05, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.95)
QUANTILE_COLUMNS = ("q05", "q10", "q25", "q40", "q50", "q60", "q75", "q90", "q95")
MEDIAN = QUANTILES.index(0.5)

FORECAST_SCHEMA = pa.schema(
    [
        ("market", pa.string()),
        ("origin", pa.string()),
        ("horizon", pa.int32()),
        ("target", pa.string()),
        *((name, pa.float64()) for name in QUANTILE_COLUMNS),
        ("expected_volume", pa.float64()),
        ("volatility", pa.float64()),
        ("model_version", pa.string()),
        ("issued_utc", pa.string()),
    ]
)
"""One row per market and horizon. `origin` and `target` are wire strings in UTC: origin is the end of the last
closed minute that the features include, target is origin + horizon minutes. Quantiles are those of the last price at
target (the close of the minute that ends there), in the quote currency. `expected_volume` is in base units over
the horizon; `volatility` is the standard deviation of the log return over the horizon. `issued_utc` is the second (wire
string, UTC) at which the row was written to the lake, so that nobody read it before; null in files of before 0.2.0."""

FORECAST = TableSpec(
    "forecast", FORECAST_SCHEMA, ["market", "origin", "horizon"], later_wins=False, added=("issued_utc",)
)
"""Table of the forecasts. Of several forecasts with the same key the one stored first counts."""
