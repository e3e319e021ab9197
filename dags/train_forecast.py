"""Once a day, and at the first start: trains the forecast model on the candles in the lake."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, CronDataIntervalTimetable, dag, task

from upbit_elt.reporting import reported

MODEL = Asset("upbit_model")


@dag(
    dag_id="train_forecast",
    schedule=CronDataIntervalTimetable("30 15 * * *", timezone="UTC"),  # 00:30 KST
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={**reported(timedelta(hours=49))},
    tags=["upbit"],
    doc_md=__doc__,
)
def train_forecast() -> None:
    @task.sensor(poke_interval=5, timeout=3600, mode="poke")
    def candles_are_there() -> bool:
        """Wait for the first candles, which the first live run after the first start may still be fetching."""
        from upbit_elt import airflow_glue
        from upbit_elt.flows import train_forecast

        return train_forecast.has_candles(airflow_glue.deployment())

    @task(outlets=[MODEL], retries=1, retry_delay=timedelta(minutes=1), execution_timeout=timedelta(hours=1))
    def train() -> dict[str, Any]:
        """Train a model, store it in HDFS, and make it the champion if it is better."""
        from upbit_elt import airflow_glue
        from upbit_elt.flows import train_forecast

        return train_forecast.train_model(airflow_glue.deployment())

    candles_are_there() >> train()


train_forecast()
