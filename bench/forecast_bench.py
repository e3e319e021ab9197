"""Forecasts on real candles: CRPS and absolute error of the model as ratios to the baselines, printed.

`python bench/forecast_bench.py` needs ../shared/data/upbit_1m. The network's size, decay and dropout, and when a
median may leave the last price, were once chosen on these same 24 days, so the figures flatter a little; the card
of every model in the lake does not.
"""

from __future__ import annotations

import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "plugins"))

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from upbit_elt.forecast.evaluate import forecast, log_returns, own_quantiles
from upbit_elt.forecast.panel import COLUMNS, Floats, Panel
from upbit_elt.forecast.schema import HORIZONS, MEDIAN
from upbit_elt.forecast.scoring import crps
from upbit_elt.forecast.train import TrainedModel, train

DATA = REPO.parent / "shared" / "data" / "upbit_1m"
END = datetime(2025, 9, 25, tzinfo=UTC)
DAYS = 24


def real_panel() -> Panel:
    """24 days of KRW-BTC, KRW-DOGE and KRW-XRP."""
    tables = [pq.read_table(path, columns=list(COLUMNS)) for path in sorted(DATA.glob("*.parquet"))]
    return Panel.from_table(pa.concat_tables(tables), end=END, minutes=DAYS * 1440)


def ratios(trained: TrainedModel) -> tuple[Floats, Floats, Floats]:
    """By market and horizon on the test span: CRPS to the market's own quantiles, MAE to the last price, coverage."""
    test = trained.test
    served = log_returns(test.batch, forecast(trained.net, test.batch).prices)
    loss, rival = crps(served, test.returns), crps(own_quantiles(trained.train, test.batch), test.returns)
    error, naive = np.abs(test.returns - served[..., MEDIAN]), np.abs(test.returns)
    inside = (test.returns > served[..., 0] - 1e-9) & (test.returns < served[..., -1] + 1e-9)
    picks = [test.batch.market == market for market in np.unique(test.batch.market)]
    pairs = ((loss, rival), (error, naive))
    crps_ratio, mae_ratio = ([np.nanmean(a[k], axis=0) / np.nanmean(b[k], axis=0) for k in picks] for a, b in pairs)
    return np.array(crps_ratio), np.array(mae_ratio), np.array([inside[k].mean(axis=0) for k in picks])


def main() -> None:
    """Train once and print the table."""
    panel = real_panel()
    begin = time.perf_counter()
    trained = train(panel, now=END)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"trained in {time.perf_counter() - begin:.1f} s, peak {peak} MB resident")
    print("test span", *trained.card["spans"]["test"], "shrinkage", trained.card["shrinkage"])
    titles = ("CRPS / unconditional", "MAE / last price", "coverage of 90 %")
    for title, table in zip(titles, ratios(trained), strict=True):
        print(f"{title:22s}", *(f"{horizon:>6d}m" for horizon in HORIZONS))
        for market, row in zip(panel.markets, table, strict=True):
            print(f"{market:22s}", *(f"{value:7.3f}" for value in row))
        print(f"{'mean':22s}", *(f"{value:7.3f}" for value in table.mean(axis=0)))


if __name__ == "__main__":
    main()
