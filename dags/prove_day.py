"""Between the live runs: reconciles each closed day with the exchange's hourly candles, repairs it, marks it proven."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import CronDataIntervalTimetable, dag, get_current_context, task

from upbit_elt.reporting import reported


@dag(
    dag_id="prove_day",
    schedule=CronDataIntervalTimetable("1-59/10 * * * *", timezone="UTC"),  # odd minutes: live runs start at even ones
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        **reported(timedelta(minutes=35)),
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
    },
    tags=["upbit"],
    doc_md=__doc__,
)
def prove_day() -> None:
    @task(execution_timeout=timedelta(minutes=15))
    def prove() -> list[str]:
        """Reconcile closed days that are not proven, for eight minutes at most; pause while a live run is at work."""
        from airflow.sdk.exceptions import AirflowSkipException

        from upbit_elt import airflow_glue
        from upbit_elt.errors import LeaseHeld
        from upbit_elt.flows import prove_day

        run_id = get_current_context()["run_id"]
        until = datetime.now(UTC) + timedelta(minutes=8)
        try:
            reconciled: list[Any] = prove_day.prove(airflow_glue.deployment(), run_id, until)
        except LeaseHeld as busy:
            raise AirflowSkipException(f"another process is reconciling: {busy}") from busy
        airflow_glue.fail_with({one.day: one.trouble for one in reconciled if one.trouble})
        return [str(one) for one in reconciled]

    prove()


prove_day()
