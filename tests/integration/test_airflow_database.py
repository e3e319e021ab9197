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
from upbit_elt.housekeeping.airflow import clean_database

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
    """A database of this Airflow with an old and a young job."""
    path = task / "airflow.db"
    environment = os.environ | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url(path).get_secret_value()}
    del environment["AIRFLOW__CORE__SQL_ALCHEMY_CONN"]
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)
    with closing(sqlite3.connect(path)) as connection, connection:
        for days in (15, 13):
            moment = (NOW - timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%S.%f")
            connection.execute("INSERT INTO job (job_type, state, latest_heartbeat) VALUES ('t', ?, ?)", (days, moment))
    return path


def url(path: Path) -> SecretStr:
    return SecretStr(f"sqlite:///{path}?timeout=60")


def test_old_rows_go_and_no_archive_is_left(database: Path) -> None:
    clean_database(url(database), NOW - timedelta(days=14))
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT state FROM job").fetchall() == [("13",)]
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert not {name for name in tables if name.startswith("_airflow_deleted")}


def test_a_database_that_cannot_be_cleaned_is_said_without_its_password(task: Path) -> None:
    wrong = SecretStr("postgresql+psycopg2://airflow:not-to-be-seen@127.0.0.1:9/airflow")
    with pytest.raises(CleanupFailed, match="airflow db clean ended with") as failed:
        clean_database(wrong, NOW)
    assert "not-to-be-seen" not in str(failed.value)
