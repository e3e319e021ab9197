"""Once a day: every day of the lake is looked at, and what nobody needs any more goes, there and in Airflow itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import CronTriggerTimetable, dag, task

from upbit_elt.reporting import reported

PATIENCE = timedelta(hours=1)


@task(execution_timeout=PATIENCE)
def check_days() -> list[str]:
    """Hive shows every day, and what is open or not proven is noted; gives what had to be mended."""
    from upbit_elt import airflow_glue
    from upbit_elt.housekeeping import lake

    return lake.check_days(airflow_glue.deployment(), datetime.now(UTC))


@task(execution_timeout=PATIENCE)
def clean_lake() -> list[str]:
    """Old snapshots, old days of forecasts, what dead writers left, old rejected rows; gives the paths gone."""
    from upbit_elt import airflow_glue
    from upbit_elt.housekeeping import lake

    troubles: dict[str, str] = {}
    removed = lake.clean_lake(airflow_glue.deployment(), datetime.now(UTC), troubles)
    airflow_glue.fail_with(troubles)
    return removed


@task(execution_timeout=PATIENCE)
def clean_database() -> None:
    """Airflow's own rows, by `airflow db clean`; skip where the database is another's to clean."""
    from airflow.sdk.exceptions import AirflowSkipException

    from upbit_elt import airflow_glue
    from upbit_elt.housekeeping import airflow
    from upbit_elt.settings import settings

    url = airflow_glue.metadata_database()
    if url is None:
        raise AirflowSkipException(f"no Connection {airflow_glue.AIRFLOW_DB}: Airflow's database stays as it is")
    keep = timedelta(days=settings().keep_airflow_days)
    airflow.clean_database(url, datetime.now(UTC) - keep)


@task(execution_timeout=PATIENCE)
def clean_logs() -> int:
    """Logs of tasks; gives the number of files that are gone."""
    from upbit_elt import airflow_glue
    from upbit_elt.housekeeping import airflow
    from upbit_elt.settings import settings

    keep = timedelta(days=settings().keep_airflow_days)
    return airflow.clean_logs(airflow_glue.log_folder(), datetime.now(UTC) - keep)


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
    """The four do not wait for each other: what one finds wrong keeps no other from its work."""
    check_days()
    clean_lake()
    clean_database()
    clean_logs()


housekeeping()
