"""Every 10 minutes, between the live runs: closes the days that are over, and compacts the files of forecasts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import CronDataIntervalTimetable, dag, get_current_context, task

from upbit_elt.reporting import reported


@dag(
    dag_id="close_day",
    schedule=CronDataIntervalTimetable("3-59/10 * * * *", timezone="UTC"),  # odd minutes: live runs start at even ones
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        **reported(timedelta(minutes=25)),
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
    },
    tags=["upbit"],
    doc_md=__doc__,
)
def close_day() -> None:
    @task(execution_timeout=timedelta(minutes=8))
    def close() -> dict[str, Any]:
        """Close the days that are ready. A day with holes first waits some hours for them to be filled."""
        from upbit_elt import airflow_glue
        from upbit_elt.flows import close_day

        done = close_day.close(airflow_glue.deployment(), get_current_context()["run_id"])
        airflow_glue.fail_with(done.troubles)
        return {
            "made": [published._asdict() for published in done.made],
            "mended": done.repaired_tables,
            "holes": [f"{hole.market} {hole.start} to {hole.end}: {hole.why}" for hole in done.holes[:20]],
            "waiting": done.waiting,
        }

    close()


close_day()
