"""A forecast's way: candles in the real HDFS and Hive, a model, its forecast stored and read back through Hive."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from tests.support.clock import ManualClock
from tests.unit.forecast.market import END, bounce
from upbit_elt.candle import kst_day
from upbit_elt.flows.score_forecast import Scorer
from upbit_elt.forecast.artifacts import load_champion
from upbit_elt.forecast.load_panel import load_panel
from upbit_elt.forecast.predict import predict
from upbit_elt.forecast.promote import train_and_promote
from upbit_elt.forecast.schema import FORECAST_SCHEMA, HORIZONS
from upbit_elt.forecast.score_day import EXPERTS, SERVED
from upbit_elt.forecast.store import store
from upbit_elt.lake.coverage import Coverage
from upbit_elt.lake.layout import live_folder, window_name
from upbit_elt.lake.parquet import encode
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive
from upbit_elt.warehouse.tables import ensure_day, partition

MINUTES = 200
MARKETS = 6


@pytest.fixture(scope="module")
def own(daemons: Settings) -> Settings:
    """A dataset of this file's own, so that other tests' candles are not in it."""
    return daemons.model_copy(update={"dataset": "forecast_store"})


def collect(lake: Lake, hive: Hive, own: Settings, start: datetime, end: datetime) -> None:
    """Candles of all minutes of [start, end), as the first file of their day."""
    day = kst_day(start)
    folder = live_folder(lake.root, "candle", day, 1)
    candles = bounce((end - start) // timedelta(minutes=1), MARKETS, end=end)
    coverage = Coverage(start, end, "test", watermark=dict.fromkeys(candles.column("market").to_pylist(), end))
    lake.publish(f"{folder}/{window_name(start, end)}", encode(candles, coverage))
    ensure_day(hive, own, "candle", day, folder)


def test_stored_forecasts_are_what_hive_shows(own: Settings) -> None:
    lake, hive = Lake.from_settings(own), Hive.from_settings(own)
    collect(lake, hive, own, END - timedelta(minutes=MINUTES), END)

    card = train_and_promote(lake, hive, own, END)
    assert (card["promoted"], card["provisional"], card["data"]["markets"]) == (True, True, MARKETS)
    champion = load_champion(lake)
    assert champion.version == card["version"]

    panel = load_panel(lake, hive, own, end=END, minutes=1440)
    table = predict(champion, panel, END)
    made = store(lake, hive, own, table, ManualClock(END + timedelta(seconds=20)))
    assert made is not None
    assert made.name == "202611241500.parquet"
    assert store(lake, hive, own, table) is None

    shown = f"SELECT {', '.join(FORECAST_SCHEMA.names)} FROM {own.database}"
    day = kst_day(END)
    for source in (f"forecast_{day}", f"forecast WHERE dt='{partition(day)}'"):
        rows = sorted(hive.query(f"{shown}.{source}"), key=lambda row: (row[0], row[2]))
        assert len(rows) == MARKETS * len(HORIZONS)
        for number, field in enumerate(FORECAST_SCHEMA):
            values = [row[number] for row in rows]
            if field.name in {"market", "origin", "horizon", "target", "model_version", "issued_utc"}:
                assert values == made.table.column(field.name).to_pylist()
            else:
                np.testing.assert_array_equal(np.array(values), table.column(field.name).to_numpy())

    collect(lake, hive, own, END, END + timedelta(minutes=10))
    done = Scorer(lake, hive, own, ManualClock(END + timedelta(minutes=11))).run("test")
    assert (done.troubles, [one.day for one in done.made]) == ({}, [day])
    wanted = {
        (expert, horizon): (MARKETS, MARKETS if horizon <= 10 else 0) for expert in EXPERTS for horizon in HORIZONS
    }
    # of the origins since then the newest is not due, and three were never made
    columns = "expert, horizon, count(*), sum(`count`)"
    sql = f"SELECT {columns} FROM {{}} WHERE late + holes = 0 AND missed = 3 GROUP BY expert, horizon"
    for source in (f"score_{day}", "score"):
        scored = {(row[0], row[1]): (row[2], row[3]) for row in hive.query(sql.format(f"{own.database}.{source}"))}
        assert scored == {key: value for key, value in wanted.items() if value[1] or key[0] == SERVED}
    bi = f"SELECT horizon_minutes, median_error_bp FROM {own.bi_database}.score WHERE expert = 'naive'"
    errors = dict(hive.query(bi))
    assert (sorted(errors), min(errors.values()) >= 0) == ([horizon for horizon in HORIZONS if horizon <= 10], True)
