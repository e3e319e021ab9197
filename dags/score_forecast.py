"""Every hour: the stored forecasts meet what came, and so do the baselines that they have to beat."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import CronDataIntervalTimetable, dag, get_current_context, task

from upbit_elt.reporting import reported


@dag(
    dag_id="score_forecast",
    schedule=CronDataIntervalTimetable("25 * * * *", timezone="UTC"),  # an odd minute: live runs start at even ones
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        **reported(timedelta(hours=2, minutes=10)),
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
    },
    tags=["upbit"],
    doc_md=__doc__,
)
def score_forecast() -> None:
    @task(execution_timeout=timedelta(minutes=40))
    def score() -> list[dict[str, Any]]:
        """Score the open day, and each day before it whose forecasts or candles are others than at the last time."""
        from upbit_elt import airflow_glue
        from upbit_elt.flows import score_forecast

        done = score_forecast.score(airflow_glue.deployment(), get_current_context()["run_id"])
        airflow_glue.fail_with(done.troubles)
        return [published._asdict() for published in done.made]

    score()


score_forecast()
