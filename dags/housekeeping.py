"""Once a day: checks every day of the lake, and removes what is no longer needed from the lake and from Airflow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import CronTriggerTimetable, dag, task

from upbit_elt.reporting import reported

PATIENCE = timedelta(hours=1)


@task(execution_timeout=PATIENCE)
def check_days() -> list[str]:
    """Make sure that Hive has registered every day; note which are open or not proven. Gives the tables repaired."""
    from upbit_elt import airflow_glue
    from upbit_elt.flows import housekeeping

    return housekeeping.check_days(airflow_glue.deployment())


@task(execution_timeout=PATIENCE)
def clean_lake() -> list[str]:
    """Remove expired snapshots, old days of forecasts, orphans of dead writers and old quarantined rows.

    Gives the paths that were removed.
    """
    from upbit_elt import airflow_glue
    from upbit_elt.flows import housekeeping

    troubles: dict[str, str] = {}
    removed = housekeeping.clean_lake(airflow_glue.deployment(), troubles)
    airflow_glue.fail_with(troubles)
    return removed


@task(execution_timeout=PATIENCE)
def clean_database() -> None:
    """Remove Airflow's old rows by `airflow db clean`; skip where no Connection gives access to the database."""
    from airflow.sdk.exceptions import AirflowSkipException

    from upbit_elt import airflow_glue
    from upbit_elt.flows import housekeeping
    from upbit_elt.settings import settings

    url = airflow_glue.metadata_database()
    if url is None:
        raise AirflowSkipException(f"no Connection {airflow_glue.AIRFLOW_DB}: Airflow's database stays as it is")
    housekeeping.clean_database(settings(), url)


@task(execution_timeout=PATIENCE)
def clean_logs() -> int:
    """Remove old logs of tasks; gives the number of removed files."""
    from upbit_elt import airflow_glue
    from upbit_elt.flows import housekeeping
    from upbit_elt.settings import settings

    return housekeeping.clean_logs(settings(), airflow_glue.log_folder())


@dag(
    dag_id="housekeeping",
    schedule=CronTriggerTimetable("30 17 * * *", timezone="UTC"),  # 02:30 KST
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        **reported(timedelta(hours=49)),
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
    },
    tags=["upbit"],
    doc_md=__doc__,
)
def housekeeping() -> None:
    """The four tasks are independent: a failure of one does not stop the others."""
    check_days()
    clean_lake()
    clean_database()
    clean_logs()


housekeeping()
