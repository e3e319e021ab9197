"""After new candles or a new model: has the Flask service compute a forecast and store it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, dag, task

from upbit_elt.reporting import reported

CANDLE, MODEL = Asset("upbit_candle"), Asset("upbit_model")


@dag(
    dag_id="forecast_candle",
    schedule=(CANDLE | MODEL),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        **reported(timedelta(minutes=5)),
        "retries": 2,
        "retry_delay": timedelta(seconds=10),
    },
    tags=["upbit"],
    doc_md=__doc__,
)
def forecast_candle() -> None:
    @task(execution_timeout=timedelta(minutes=5))
    def forecast() -> dict[str, Any]:
        """Request the forecast of the newest minute; skip while no model has been trained."""
        from airflow.sdk.exceptions import AirflowSkipException

        from upbit_elt import airflow_glue
        from upbit_elt.errors import NoModel
        from upbit_elt.flows import forecast_candle

        here = airflow_glue.deployment()
        try:
            return forecast_candle.request_forecast(here.flask_url, here.flask_token.get_secret_value())
        except NoModel as nothing_trained:
            raise AirflowSkipException(str(nothing_trained)) from nothing_trained

    forecast()


forecast_candle()
