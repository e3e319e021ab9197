"""Every 2 minutes: fetches all candles that have closed since the lake's watermark, into HDFS and Hive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, CronDataIntervalTimetable, dag, get_current_context, task

from upbit_elt.reporting import reported

CANDLE = Asset("upbit_candle")


@dag(
    dag_id="min_candle",
    schedule=CronDataIntervalTimetable("*/2 * * * *", timezone="UTC"),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    # One retry, only of an early failure: `collect` fetches for a minute at most and ends well before the next run.
    default_args={
        **reported(timedelta(minutes=5)),
        "retries": 1,
        "retry_delay": timedelta(seconds=10),
    },
    tags=["upbit"],
    doc_md=__doc__,
)
def min_candle() -> None:
    @task(pool="upbit", execution_timeout=timedelta(minutes=4))
    def collect() -> dict[str, Any]:
        """Fetch candles from the exchange and publish them to HDFS."""
        from upbit_elt import airflow_glue
        from upbit_elt.flows import min_candle

        context = get_current_context()
        with airflow_glue.no_late_retry(timedelta(seconds=45)):
            collected = min_candle.collect(airflow_glue.deployment(), context["run_id"])
        window = airflow_glue.to_xcom(collected)
        context["ti"].xcom_push(key="file_name", value=window["file_name"])
        return window

    @task(task_id="roll", outlets=[CANDLE], execution_timeout=timedelta(minutes=3))
    def register(window: dict[str, Any]) -> list[str]:
        """Register the window's days in Hive; advance the Variables `to_date` and `y_date`.

        Fails, without a retry, when no request for candles was answered: the holes are published, but a green run would
        say that there are new prices, and forecasts would be made from old ones. The next run follows on schedule.
        """
        from upbit_elt import airflow_glue
        from upbit_elt.flows import min_candle

        folders = {published["day"]: published["folder"] for published in window["files"]}
        changed = min_candle.register(airflow_glue.deployment(), folders, folders)
        airflow_glue.advance_variables(window)
        airflow_glue.fail_with({"candles": window["outage"]} if window["outage"] else {})
        return changed

    register(collect())  # type: ignore[arg-type] # Airflow resolves the XCom when the task runs


min_candle()
