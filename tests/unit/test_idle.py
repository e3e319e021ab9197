"""Nothing to do costs nothing: the requests of a cycle to HDFS and Hive, counted, do not grow with the lake's age."""

from __future__ import annotations

from pathlib import Path

from tests.support.idle import TWO_MINUTES, Cost, Deployment


def total(costs: list[Cost]) -> tuple[int, int]:
    return sum(cost.operations for cost in costs), sum(cost.sessions for cost in costs)


def test_a_cycle_without_work_costs_the_same_on_a_young_and_on_an_old_lake(tmp_path: Path) -> None:
    young, old = (Deployment(days, tmp_path / str(days)) for days in (1, 40))
    cycle, ten_minutes = young.cycle(), young.ten_minutes()
    assert (old.cycle(), old.ten_minutes()) == (cycle, ten_minutes)
    operations, sessions = total(cycle)
    assert operations <= 35
    assert sessions <= 3
    operations, sessions = total(ten_minutes)
    assert operations <= 20
    assert sessions <= 2
    assert {cost.step: cost.sessions for cost in cycle}["backfill_candle"] == 0


def test_fresh_data_and_a_scrape_cost_no_request_to_hdfs_or_hive(tmp_path: Path) -> None:
    deployment = Deployment(1, tmp_path)
    deployment.watched()  # once an hour it reads the scores
    assert deployment.watched()[1:] == (0, 0)
    deployment.clock.set(deployment.clock.now() + 3 * TWO_MINUTES)  # no run has come
    assert deployment.watched().operations > 0, "what is old is looked at"
