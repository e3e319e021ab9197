"""Airflow's own database, cleaned from where Airflow keeps it away: the inside of a task."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from upbit_elt.errors import CleanupFailed
from upbit_elt.housekeeping.airflow_cleanup import clean_database

NOW = datetime.now(UTC)
BLOCKED = "airflow-db-not-allowed:///"


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment is that of a task; returns its AIRFLOW_HOME."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", BLOCKED)
    monkeypatch.setenv("AIRFLOW__CORE__SQL_ALCHEMY_CONN", BLOCKED)
    return tmp_path


@pytest.fixture
def database(task: Path) -> Path:
    """A database of this Airflow with an old and a young job, run and DAG version, and all that hangs on them."""
    path = task / "airflow.db"
    environment = os.environ | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url(path).get_secret_value()}
    del environment["AIRFLOW__CORE__SQL_ALCHEMY_CONN"]
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)
    with closing(sqlite3.connect(path)) as connection, connection:
        for days in (15, 13):
            moment = (NOW - timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%S.%f")
            connection.execute("INSERT INTO job (job_type, state, latest_heartbeat) VALUES ('t', ?, ?)", (days, moment))
            connection.execute("INSERT INTO log (event, dttm) VALUES (?, ?)", (days, moment))
            put_run(connection, days, moment)
        for number in (1, 2, 3):
            put_version(connection, number, (NOW - timedelta(days=20 - number)).isoformat(" "))
    return path


def put_run(connection: sqlite3.Connection, days: int, moment: str) -> None:
    """A run with a task of so many days ago; the younger ran version 2 of its DAG, of the older that is gone."""
    version = None if days > 14 else f"{2:032}"
    task = {"task_id": "t", "dag_id": "d", "run_id": f"run {days}", "map_index": -1}
    rest = {"try_number": 1, "pool": "p", "pool_slots": 1, "start_date": moment}
    insert(connection, "dag_run", id=days, dag_id="d", run_id=f"run {days}", run_type="manual", run_after=moment)
    connection.execute("UPDATE dag_run SET start_date = ? WHERE id = ?", (moment, days))
    insert(connection, "task_instance", id=f"{days:032}", dag_version_id=version, **task, **rest)
    insert(connection, "task_instance_history", task_instance_id=f"{days:032}", **task, **rest)
    insert(connection, "xcom", dag_run_id=days, key="k", timestamp=moment, **task)
    insert(connection, "rendered_task_instance_fields", rendered_fields="{}", **task)


def put_version(connection: sqlite3.Connection, number: int, moment: str) -> None:
    """A version of the DAG, with its serialized form and code."""
    dates = {"created_at": moment, "last_updated": moment, "dag_id": "d"}
    insert(connection, "dag_version", id=f"{number:032}", version_number=number, **dates)
    of_it = {"id": f"{number:032}", "dag_version_id": f"{number:032}", **dates}
    insert(connection, "serialized_dag", dag_hash=number, **of_it)
    insert(connection, "dag_code", fileloc="f", source_code="c", source_code_hash=number, **of_it)


def insert(connection: sqlite3.Connection, table: str, **values: object) -> None:
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", [*values.values()])


def url(path: Path) -> SecretStr:
    return SecretStr(f"sqlite:///{path}?timeout=60")


def test_old_rows_go_and_no_archive_is_left(database: Path) -> None:
    clean_database(url(database), NOW - timedelta(days=14))
    with closing(sqlite3.connect(database)) as connection:

        def left(what: str, table: str) -> list[object]:
            return [value for (value,) in connection.execute(f"SELECT {what} FROM {table} ORDER BY 1")]

        assert left("state", "job") == ["13"]
        assert "13" in left("event", "log")
        assert "15" not in left("event", "log")
        of_runs = ("dag_run", "task_instance", "task_instance_history", "xcom", "rendered_task_instance_fields")
        assert {table: left("run_id", table) for table in of_runs} == {table: ["run 13"] for table in of_runs}
        # the first version was of no run any more; the newest stays in any case
        assert left("version_number", "dag_version") == [2, 3]
        assert left("dag_hash", "serialized_dag") == left("source_code_hash", "dag_code") == ["2", "3"]
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert not {name for name in tables if name.startswith("_airflow_deleted")}


def test_a_database_that_cannot_be_cleaned_is_said_without_its_password(task: Path) -> None:
    wrong = SecretStr("postgresql+psycopg2://airflow:not-to-be-seen@127.0.0.1:9/airflow")
    with pytest.raises(CleanupFailed, match="airflow db clean ended with") as failed:
        clean_database(wrong, NOW)
    assert "not-to-be-seen" not in str(failed.value)
