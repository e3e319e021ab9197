"""Connections as the tasks read them, in a process of its own: one for all cases, Airflow takes seconds to load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.chat import SLACK, Chat, chat
from upbit_elt.clock import SystemClock
from upbit_elt.troubles import Troubles
from upbit_elt.webhook import Webhook

REPO = Path(__file__).resolve().parents[3]
READ = """
import json, os, runpy, sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from upbit_elt import airflow_glue
from upbit_elt.errors import LakeUnavailable
from upbit_elt.metrics import MetricsFile
from upbit_elt.reporting import reported
from upbit_elt.settings import settings

found = {}
for case, connections in json.loads(sys.argv[1]).items():
    os.environ.update(connections)
    here, database = airflow_glue.deployment(), airflow_glue.metadata_database()
    found[case] = {
        "webhdfs": [here.webhdfs_url, here.webhdfs_user, here.webhdfs_auth, here.webhdfs_token.get_secret_value()],
        "flask": [here.flask_url, here.flask_token.get_secret_value()],
        "database": database and database.get_secret_value(),
    }
    for name in connections:
        del os.environ[name]
late = {}
for seconds in (-1, 60):
    try:
        with airflow_glue.no_late_retry(timedelta(seconds=seconds)):
            raise LakeUnavailable("HDFS is away")
    except Exception as error:
        late[seconds] = [type(error).__name__, str(error)]
began = datetime(2026, 11, 24, tzinfo=UTC)
task = SimpleNamespace(dag_id="d", task_id="t", run_id="r", start_date=began, end_date=began + timedelta(seconds=7))
os.environ.update(next(iter(json.loads(sys.argv[1]).values())))
for callback in reported(timedelta(minutes=5)).values():
    callback({"ti": task, "exception": LakeUnavailable("HDFS is away")})
sums = {
    f"{sample.name} {sample.labels['state']}": sample.value
    for family in MetricsFile(settings().state_dir).collect()
    for sample in family.samples
    if sample.name in ("upbit_task_seconds_count", "upbit_task_seconds_sum")
}
links = {}
for address in ("", "https://upbit.example.com"):
    os.environ.update(UPBIT_ELT_FLASK_URL="http://flask:5000", UPBIT_ELT_PAGE_URL=address)
    settings.cache_clear()
    links[address] = runpy.run_path(sys.argv[2])["DashboardLink"].external_views[0]["href"]
print("RESULT" + json.dumps(found | {"late": late, "measured": sums, "links": links}))
"""
PLAIN = {
    "UPBIT_WEBHDFS": json.dumps({"conn_type": "http", "host": "namenode", "port": 9870, "login": "ann"}),
    "UPBIT_HIVE": json.dumps({"conn_type": "hiveserver2", "host": "hive", "port": 10000, "login": "ann"}),
    "UPBIT_FLASK": json.dumps({"conn_type": "http", "host": "flask", "port": 5000, "password": "flask-token"}),
}


SECURE = {
    "UPBIT_WEBHDFS": json.dumps(
        {
            "conn_type": "https",
            "host": "namenode",
            "port": 9871,
            "password": "delegation",
            "extra": {"webhdfs_auth": "token"},
        }
    ),
    "UPBIT_FLASK": json.dumps(
        {"conn_type": "http", "schema": "https", "host": "flask.example", "password": "flask-token"}
    ),
}
URLS = [
    "sqlite:////home/ann/airflow.db?timeout=60",
    "postgresql+psycopg2://airflow:p%40ss%2Fword@postgres:5432/airflow?sslmode=require",
    "postgresql+psycopg2://airflow:secret@postgres/airflow",
]


@pytest.fixture(scope="module")
def there() -> Iterator[Chat]:
    """The chat that the webhook leads to."""
    with chat() as found:
        yield found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("airflow")


@pytest.fixture(scope="module")
def found(home: Path, there: Chat) -> dict[str, Any]:
    """What a task makes of each case's Connections, and what its callbacks do."""
    cases = {"plain": PLAIN, "secure": PLAIN | SECURE} | {url: PLAIN | {"UPBIT_AIRFLOW_DB": url} for url in URLS}
    given = {
        case: {f"AIRFLOW_CONN_{name}": value for name, value in connections.items()}
        for case, connections in cases.items()
    }
    (home / "webhook").write_text(there.url + SLACK)
    environment = os.environ | {"AIRFLOW_HOME": str(home), "PYTHONPATH": str(REPO / "plugins")}
    environment |= {"UPBIT_ELT_STATE_DIR": str(home / "state"), "UPBIT_ELT_WEBHOOK_FILE": str(home / "webhook")}
    command = [sys.executable, "-c", READ, json.dumps(given), str(REPO / "plugins" / "dashboard_link.py")]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.rpartition("RESULT")[2])
    return result


def test_plain_connections_are_http_and_a_user_name(found: dict[str, Any]) -> None:
    plain = found["plain"]
    assert plain["webhdfs"] == ["http://namenode:9870", "ann", "insecure", ""]
    assert plain["flask"] == ["http://flask:5000", "flask-token"]
    assert plain["database"] is None, "an Airflow whose database somebody else cleans"


def test_https_by_type_or_schema_and_a_token(found: dict[str, Any]) -> None:
    secure = found["secure"]
    assert secure["webhdfs"] == ["https://namenode:9871", "upbit", "token", "delegation"]
    assert secure["flask"][0] == "https://flask.example"


@pytest.mark.parametrize("url", URLS)
def test_airflows_database_is_named_as_airflow_names_it(found: dict[str, Any], url: str) -> None:
    assert found[url]["database"] == url


def test_a_failure_that_is_reported_late_is_left_to_the_next_run(found: dict[str, Any]) -> None:
    assert found["late"] == {
        "-1": ["AirflowFailException", "LakeUnavailable: HDFS is away (the next run does it)"],
        "60": ["LakeUnavailable", "HDFS is away"],
    }


def test_however_a_task_ends_its_seconds_are_added_up(found: dict[str, Any]) -> None:
    states = ("failed", "success", "skipped", "up_for_retry")
    expected = {f"upbit_task_seconds_count {state}": 1 for state in states}
    assert found["measured"] == expected | {f"upbit_task_seconds_sum {state}": 7 for state in states}


def test_the_link_to_the_dashboard_goes_where_a_browser_reaches_it(found: dict[str, Any]) -> None:
    address = "https://upbit.example.com"
    assert found["links"] == {"": "http://flask:5000", address: address}


def test_a_task_sends_its_failure_when_flask_is_away_and_its_end_once_it_succeeds(
    found: dict[str, Any], home: Path, there: Chat
) -> None:
    assert found["measured"], "the callbacks have run: failed, then success"
    line = "[upbit] d.t fails: LakeUnavailable: HDFS is away"
    assert there.lines == [line]
    Troubles(
        home / "state", "upbit", Webhook(home / "webhook"), SystemClock()
    ).notify()  # as Flask does when it is back
    assert len(there.lines) == 2
    assert there.lines[1].startswith("[upbit] over after 1 min")
