"""Figures behind docs/scaling.md: bytes of a day of candles and of a day of forecasts, in no daemon.

`python bench/growth_bench.py [--markets 40] [--every 2]`: a model is trained on made-up candles of three days, and
forecasts one more from every second minute, as the DAGs do; both days are encoded as the close of the day does. What
a market takes does not hang on how many there are.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO / "plugins"), str(REPO)]

import click
import numpy as np
import pyarrow as pa

from bench.scaling_bench import day_of_candles
from upbit_elt.candle import KST
from upbit_elt.forecast.artifacts import Champion
from upbit_elt.forecast.panel import Panel
from upbit_elt.forecast.predict import predict
from upbit_elt.forecast.schema import FORECAST
from upbit_elt.forecast.train import train
from upbit_elt.lake.parquet import encode
from upbit_elt.settings import Settings

KRW_MARKETS = 289
TRAINED_DAYS = 3


def forecasts(candles: pa.Table, start: datetime, every: int) -> pa.Table:
    """Forecasts of the KST day from `start` on, of an origin every so many minutes, sorted as in the lake."""
    end = start + timedelta(days=1)
    panel = Panel.from_table(candles, end=end, minutes=(TRAINED_DAYS + 1) * 1440)
    trained = train(panel.until(start), now=start)
    champion = Champion("20260101T000000", trained.card, trained.net)
    origins = (start + timedelta(minutes=minute) for minute in range(0, 1440, every))
    return pa.concat_tables(predict(champion, panel, origin) for origin in origins).sort_by(
        [(name, "ascending") for name in FORECAST.key]
    )


@click.command()
@click.option("--markets", default=40, show_default=True)
@click.option("--every", default=2, show_default=True, help="Minutes between two origins.")
def main(markets: int, every: int) -> None:
    """Print bytes by market and day, and what a year of all KRW markets takes."""
    began = time.perf_counter()
    names, rng = [f"KRW-{number:04d}" for number in range(markets)], np.random.default_rng(1)
    first = datetime(2026, 1, 1, tzinfo=KST).astimezone(UTC)
    days = [day_of_candles(first + timedelta(days=n), names, rng) for n in range(TRAINED_DAYS + 1)]
    made = forecasts(pa.concat_tables(days), first + timedelta(days=TRAINED_DAYS), every)
    keep = Settings.model_fields["keep_forecast_days"].default
    candle = len(encode(days[-1])) / markets
    forecast = len(encode(made)) / markets
    for kind, size, rows in (("candles", candle, days[-1].num_rows), ("forecasts", forecast, made.num_rows)):
        whole = size * KRW_MARKETS
        click.echo(
            f"{kind:10} {size / 1000:6.1f} kB a market and day ({rows / markets:,.0f} rows); of {KRW_MARKETS} markets "
            f"{whole / 1e6:.1f} MB a day, {whole * 365 / 1e9:.1f} GB a year"
        )
    click.echo(f"forecasts take {forecast / candle:.1f} times as much as candles")
    kept = forecast * KRW_MARKETS * (keep + 2) / 1e9
    click.echo(f"{keep} days of forecasts before the newest, and the one that goes: {kept:.1f} GB at most")
    click.echo(f"({time.perf_counter() - began:.0f} s)")


if __name__ == "__main__":
    main()
