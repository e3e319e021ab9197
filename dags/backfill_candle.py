"""Behind each live run: a chunk of older history, newest day first, until it is all there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, dag, get_current_context, task


@dag(
    dag_id="backfill_candle",
    schedule=[Asset("upbit_candle")],
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    tags=["upbit"],
    doc_md=__doc__,
)
def backfill_candle() -> None:
    @task(execution_timeout=timedelta(minutes=5))
    def fill() -> dict[str, Any]:
        """Work until shortly before the next live run; show the days that are complete."""
        from upbit_elt import airflow_glue, pipeline

        run_id = get_current_context()["run_id"]
        until = pipeline.next_live_run(datetime.now(UTC), margin=timedelta(seconds=5))
        progress = pipeline.fill_history(airflow_glue.deployment(), run_id, until)
        return {"candles": progress.candles, "published": progress.published, "left": progress.left}

    fill()


backfill_candle()
