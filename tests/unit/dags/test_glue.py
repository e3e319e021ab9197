"""Connections as the tasks read them, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[3]
READ = """
import json
from upbit_elt import airflow_glue

here, database = airflow_glue.deployment(), airflow_glue.metadata_database()
print("RESULT" + json.dumps({
    "webhdfs": [here.webhdfs_url, here.webhdfs_user, here.webhdfs_auth, here.webhdfs_token.get_secret_value()],
    "flask": [here.flask_url, here.flask_token.get_secret_value()],
    "database": database and database.get_secret_value(),
}))
"""
PLAIN = {
    "UPBIT_WEBHDFS": json.dumps({"conn_type": "http", "host": "namenode", "port": 9870, "login": "ann"}),
    "UPBIT_HIVE": json.dumps({"conn_type": "hiveserver2", "host": "hive", "port": 10000, "login": "ann"}),
    "UPBIT_FLASK": json.dumps({"conn_type": "http", "host": "flask", "port": 5000, "password": "flask-token"}),
}


def read(home: Path, **connections: str) -> dict[str, Any]:
    named = {f"AIRFLOW_CONN_{name}": value for name, value in (PLAIN | connections).items()}
    environment = os.environ | named | {"AIRFLOW_HOME": str(home), "PYTHONPATH": str(REPO / "plugins")}
    command = [sys.executable, "-c", READ]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.rpartition("RESULT")[2])
    return result


def test_plain_connections_are_http_and_a_user_name(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert found["webhdfs"] == ["http://namenode:9870", "ann", "insecure", ""]
    assert found["flask"] == ["http://flask:5000", "flask-token"]
    assert found["database"] is None, "an Airflow whose database somebody else cleans"


def test_https_by_type_or_schema_and_a_token(tmp_path: Path) -> None:
    webhdfs = {"conn_type": "https", "host": "namenode", "port": 9871, "password": "delegation"}
    flask = {"conn_type": "http", "schema": "https", "host": "flask.example", "password": "flask-token"}
    found = read(
        tmp_path,
        UPBIT_WEBHDFS=json.dumps(webhdfs | {"extra": {"webhdfs_auth": "token"}}),
        UPBIT_FLASK=json.dumps(flask),
    )
    assert found["webhdfs"] == ["https://namenode:9871", "upbit", "token", "delegation"]
    assert found["flask"][0] == "https://flask.example"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////home/ann/airflow.db?timeout=60",
        "postgresql+psycopg2://airflow:p%40ss%2Fword@postgres:5432/airflow?sslmode=require",
        "postgresql+psycopg2://airflow:secret@postgres/airflow",
    ],
)
def test_airflows_database_is_named_as_airflow_names_it(tmp_path: Path, url: str) -> None:
    assert read(tmp_path, UPBIT_AIRFLOW_DB=url)["database"] == url
