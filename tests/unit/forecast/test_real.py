"""On recorded candles of three markets; the figures are printed by bench/forecast_bench.py."""

from __future__ import annotations

import pytest

from bench.forecast_bench import DATA, END, ratios, real_panel
from upbit_elt.forecast.schema import HORIZONS
from upbit_elt.forecast.train import train


@pytest.mark.skipif(not DATA.is_dir(), reason="recorded candles are not on this machine (../shared/data/upbit_1m)")
def test_better_than_the_markets_own_quantiles_and_no_worse_than_the_last_price() -> None:
    crps, mae, coverage = ratios(train(real_panel(), now=END))
    near = [i for i, horizon in enumerate(HORIZONS) if horizon <= 15]
    assert (crps.mean(axis=0)[near] < 0.99).all(), crps
    assert (mae.mean(axis=0) <= 1.0005).all(), mae
    assert (coverage.mean(axis=0) > 0.87).all(), coverage
