"""Scores stay longer than forecasts, by the newest day of each, and go in the same two steps."""

from __future__ import annotations

from datetime import timedelta

from tests.support.clock import ManualClock, utc
from tests.support.hdfs import MemoryHdfs
from tests.support.hive import MemoryHive
from upbit_elt.candle import day_start, kst_day
from upbit_elt.forecast.score_day import SCORE_SCHEMA
from upbit_elt.housekeeping.expiry import SCORE_DAYS, expire, old_days
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.parquet import encode
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse import tables

TODAY = "261124"
OLD, KEPT = (kst_day(day_start(TODAY) - timedelta(days=SCORE_DAYS + more)) for more in (1, 0))


def test_scores_of_more_than_400_days_ago_go_from_hive_and_then_from_the_lake() -> None:
    clock = ManualClock(utc(3, 0))
    server = MemoryHive(MemoryHdfs(clock))
    settings = Settings(dataset="replica", base_url="http://exchange")
    lake, hive = Lake(server.hdfs.client(), settings.lake_root), server.client(settings)
    for day in (OLD, KEPT, TODAY):
        folder = layout.complete_folder(lake.root, "score", day, 1)
        lake.publish(f"{folder}/0_closed.parquet", encode(SCORE_SCHEMA.empty_table()))
        tables.ensure_day(hive, settings, "score", day, folder)
    assert old_days(lake, settings, clock.now()) == [("score", OLD)]
    for days, listed in (([OLD, KEPT, TODAY], []), ([KEPT, TODAY], [f"{lake.root}/score/{OLD}"])):
        assert expire(lake, hive, settings, clock.now(), clock, {}) == listed
        assert tables.days(hive, settings, "score") == [KEPT, TODAY]
        assert ledger.days(lake, "score") == days
        clock.set(clock.now() + timedelta(hours=25))
