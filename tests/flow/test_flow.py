"""The main job on the wall clock: `./run`, a real scheduler, real daemons; only the exchange is a replica."""

from __future__ import annotations

import re
import sqlite3
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.support.dags import DAGS
from tests.support.stack import STATUS, Stack, utc_of, wait_for
from upbit_elt.warehouse.hive import Hive

HORIZONS = 8
LIVE_RUN = timedelta(minutes=2)


@pytest.fixture(scope="module")
def after_two_more_runs(stack: Stack) -> None:
    """Two live runs have landed since the start, and their forecast is there."""
    start = utc_of(stack.at_start["covered_until"])

    def landed() -> bool:
        origin = stack.progress().forecast_origin
        return origin is not None and utc_of(origin) >= start + 2 * LIVE_RUN

    assert wait_for(landed, 900, every=STATUS)


def test_everything_is_healthy_and_fresh(stack: Stack) -> None:
    status = stack.status()
    assert status["exchange"] == "replica"
    assert [service for service in status["services"] if not service["healthy"]] == []
    assert {service["name"] for service in status["services"]} >= {
        "namenode", "datanode", "hiveserver2", "flask", "replica",
        "airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer",
    }  # fmt: skip
    assert all(service["pid"] and service["rss_mb"] > 0 for service in status["services"])
    assert status["addresses"].keys() == {"airflow", "page", "hive", "webhdfs"}
    assert status["markets"] > 200
    for time in (status["covered_until"], status["forecast_origin"]):
        assert datetime.now(UTC) - utc_of(time) < timedelta(minutes=4)
        assert time.endswith("Z")


def test_housekeeping_reaches_airflows_database_and_says_nothing_of_it(stack: Stack) -> None:
    api, runs = stack.airflow_api(), f"{stack.airflow}/api/v2/dags/housekeeping/dagRuns"
    started = api.post(runs, json={"logical_date": None}, timeout=30)
    started.raise_for_status()
    run = f"{runs}/{started.json()['dag_run_id']}"

    def ended() -> bool:
        return api.get(run, timeout=30).json()["state"] in {"success", "failed"}

    wait_for(ended, 300)
    tasks = api.get(f"{run}/taskInstances", timeout=30).json()["task_instances"]
    states = {task["task_id"]: task["state"] for task in tasks}
    assert states == dict.fromkeys(("check_days", "clean_lake", "clean_database", "clean_logs"), "success")
    folder = Path(stack.variables["UPBIT_RUN_DATA_DIR"]) / "airflow" / "logs" / "dag_id=housekeeping"
    logs = "".join(path.read_text(errors="replace") for path in folder.rglob("*.log"))
    assert "airflow db clean" in logs
    assert "sqlite:///" not in logs


def test_metrics_hold_what_the_tasks_measured(stack: Stack, after_two_more_runs: None) -> None:
    text = requests.get(f"{stack.page}/metrics", timeout=30).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def total(name: str, **labels: str) -> float:
        return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())

    assert total("upbit_task_seconds_count", dag="min_candle", task="roll", state="success") >= 2
    assert total("upbit_exchange_request_seconds_count", outcome="ok") > 200
    assert total("upbit_webhdfs_seconds_count", operation="create", outcome="ok") > 2
    assert total("upbit_hive_seconds_count", operation="session", outcome="ok") > 2
    assert total("upbit_markets", quote="KRW", state="fresh") > 200
    assert total("upbit_services_up") == 1
    assert 0 < total("upbit_namenode_heap_used_bytes") < total("upbit_namenode_heap_max_bytes")
    assert 0 < total("upbit_hdfs_free_bytes") < total("upbit_hdfs_capacity_bytes")


def test_hive_holds_what_the_exchange_holds_value_by_value(stack: Stack, after_two_more_runs: None) -> None:
    done = stack.run("exec", "python", "-m", "upbit_elt", "verify")
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"compared (\d+), lost (\d+), doubled (\d+), altered (\d+), invented (\d+)", done.stdout)
    assert found, done.stdout
    compared, *differences = map(int, found.groups())
    assert compared > 10_000
    assert differences == [0, 0, 0, 0]


def test_no_candle_is_twice_in_hive(stack: Stack, after_two_more_runs: None) -> None:
    hive = Hive.from_settings(stack.settings)
    ((rows, keys),) = hive.query(
        "SELECT count(*), count(DISTINCT market, candle_date_time_utc) FROM upbit_lake_replica.candle"
    )
    assert rows == keys > 10_000


def test_forecasts_of_all_markets_are_stored_back(stack: Stack, after_two_more_runs: None) -> None:
    hive = Hive.from_settings(stack.settings)
    origins = hive.query(
        "SELECT origin, count(*), count(DISTINCT market), max(q50) FROM upbit_lake_replica.forecast GROUP BY origin"
    )
    assert len(origins) >= 2
    for _, rows, markets, median in origins:
        assert rows == markets * HORIZONS
        assert markets > 200
        assert median > 0
    day = datetime.now(UTC) + timedelta(hours=9)
    assert hive.query(f"SHOW TABLES IN upbit_lake_replica LIKE 'forecast_{day:%y%m%d}'")


def test_airflow_is_green(stack: Stack, after_two_more_runs: None) -> None:
    api = stack.airflow_api()

    def get(path: str, **query: str) -> dict[str, Any]:
        response = api.get(f"{stack.airflow}/api/v2/{path}", params=query, timeout=30)
        response.raise_for_status()
        body: dict[str, Any] = response.json()
        return body

    assert get("importErrors")["total_entries"] == 0
    assert {dag["dag_id"]: dag["is_paused"] for dag in get("dags")["dags"]} == dict.fromkeys(DAGS, False)
    runs = get("dags/min_candle/dagRuns", limit="50")["dag_runs"]
    assert [run["state"] for run in runs if run["state"] == "failed"] == []
    done = [run for run in runs if run["state"] == "success" and run["run_type"] == "scheduled"]
    assert len(done) >= 2
    for run in done:
        start, end = (datetime.fromisoformat(run[f"data_interval_{side}"]) for side in ("start", "end"))
        assert end - start == LIVE_RUN
    xcom = get(f"dags/min_candle/dagRuns/{done[-1]['dag_run_id']}/taskInstances/collect/xcomEntries/file_name")
    assert re.fullmatch(r"\d{12}_\d{12}\.parquet", str(xcom["value"]).strip('"'))
    today = datetime.now(UTC) + timedelta(hours=9)
    assert get("variables/to_date")["value"] in {f"{today:%y%m%d}", f"{today - timedelta(minutes=10):%y%m%d}"}
    assert get("variables/y_date")["value"] < get("variables/to_date")["value"]
    for dag in ("train_forecast", "forecast_candle", "backfill_candle", "prove_day"):
        states = {run["state"] for run in get(f"dags/{dag}/dagRuns", limit="50")["dag_runs"]}
        assert states <= {"success", "running", "queued"}, dag
        assert "success" in states or dag in ("backfill_candle", "prove_day")


def test_no_secret_is_readable_in_airflow(stack: Stack, after_two_more_runs: None) -> None:
    data = Path(stack.variables["UPBIT_RUN_DATA_DIR"])
    secrets = {
        value
        for file in data.iterdir()
        if file.is_file() and file.stat().st_mode & 0o777 == 0o600
        for value in re.findall(r"[A-Za-z0-9_\-+/=]{24,}", file.read_text(errors="replace"))
    }
    assert secrets, "the generated secrets are in files that only the user can read"
    logs = "".join(path.read_text(errors="replace") for path in (data / "airflow" / "logs").rglob("*.log"))
    assert logs
    with sqlite3.connect(next((data / "airflow").glob("*.db"))) as database:
        xcoms = "".join(str(value) for (value,) in database.execute("SELECT value FROM xcom"))
    config = stack.airflow_api().get(f"{stack.airflow}/api/v2/config", timeout=30).text
    for secret in secrets:
        assert secret not in logs + xcoms + config


def test_torch_is_not_loaded_by_scheduler_or_dag_processor(stack: Stack, after_two_more_runs: None) -> None:
    for name in ("airflow-scheduler", "airflow-dag-processor", "airflow-api-server", "airflow-triggerer"):
        maps = "".join(mapping.path for mapping in stack.process(name).memory_maps())
        assert "libtorch" not in maps, name
    flask = stack.process("flask")
    maps = "".join(
        mapping.path for process in [flask, *flask.children(recursive=True)] for mapping in process.memory_maps()
    )
    assert "libtorch" in maps, "the check can see torch where it is"


def test_the_extract_opens_in_tableaus_own_engine(stack: Stack, after_two_more_runs: None) -> None:
    hyper = pytest.importorskip("tableauhyperapi", reason="tableauhyperapi has no wheel for this machine")
    response = requests.get(f"{stack.page}/extract/upbit.hyper", timeout=300)
    assert response.status_code == 200
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upbit.hyper"
        path.write_bytes(response.content)
        parameters = {"log_dir": folder}
        telemetry = hyper.Telemetry.DO_NOT_SEND_USAGE_DATA_TO_TABLEAU
        with (
            hyper.HyperProcess(telemetry, parameters=parameters) as process,
            hyper.Connection(process.endpoint, path) as connection,
        ):
            tables = [name for schema in connection.catalog.get_schema_names() for name in _tables(connection, schema)]
            counts = {str(name.name.unescaped): _count(connection, name) for name in tables}
    assert counts["candle"] > 10_000
    assert counts["forecast"] > 0


def _tables(connection: Any, schema: Any) -> Any:
    return connection.catalog.get_table_names(schema)


def _count(connection: Any, name: Any) -> int:
    return int(connection.execute_scalar_query(f"SELECT count(*) FROM {name}"))
