from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.stack.conftest import Stub
from upbit_elt.errors import StackError
from upbit_elt.settings import Settings
from upbit_elt.stack import airflow
from upbit_elt.stack.airflow import AirflowApi
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.secrets import Secrets


@pytest.fixture
def api(stub: Stub) -> AirflowApi:
    stub.answers["POST /auth/token"] = (201, {"access_token": "t"})
    stub.answers["GET /api/v2/importErrors"] = (200, {"import_errors": []})
    return AirflowApi(stub.url, "secret")


def show_dags(stub: Stub, **paused: bool) -> None:
    rows = [{"dag_id": name, "is_paused": value, "fileloc": f"/dags/{name}.py"} for name, value in paused.items()]
    stub.answers["GET /api/v2/dags"] = (200, {"dags": rows})
    for name in paused:
        stub.answers[f"PATCH /api/v2/dags/{name}"] = (200, {})


def unpaused(stub: Stub) -> list[str]:
    return [path.rpartition("/")[2].partition("?")[0] for method, path, _ in stub.requests if method == "PATCH"]


def test_each_dag_is_unpaused_once_in_its_life(stub: Stub, api: AirflowApi, tmp_path: Path) -> None:
    remembered = tmp_path / "unpaused.json"
    show_dags(stub, min_candle=True)
    assert airflow.unpause_new(api, remembered) == ["min_candle"]
    # its user paused it since; another came with a new version
    show_dags(stub, min_candle=True, close_day=True)
    assert airflow.unpause_new(api, remembered) == ["close_day"]
    assert unpaused(stub) == ["min_candle", "close_day"]


def test_dag_files_not_yet_read_are_named(stub: Stub, api: AirflowApi, tmp_path: Path) -> None:
    for name, text in (("min_candle", "@dag(schedule=None)\n"), ("train", "with DAG('t'):\n"), ("helper", "x = 1\n")):
        (tmp_path / f"{name}.py").write_text(text)
    show_dags(stub, min_candle=True)
    assert airflow.undecided(api, tmp_path) == ["train.py"]
    show_dags(stub, min_candle=True, train=True)
    assert airflow.undecided(api, tmp_path) == []


def test_a_dag_that_cannot_be_imported_is_named_with_the_last_line(stub: Stub, api: AirflowApi, tmp_path: Path) -> None:
    error = {"filename": "/dags/train.py", "stack_trace": "Traceback\n  File\nModuleNotFoundError: No module 'x'\n"}
    stub.answers["GET /api/v2/importErrors"] = (200, {"import_errors": [error]})
    show_dags(stub)
    (tmp_path / "train.py").write_text("@dag()\n")
    assert airflow.undecided(api, tmp_path) == ["train.py: ModuleNotFoundError: No module 'x'"]


def test_a_pool_is_made_once_and_its_users_size_stays(stub: Stub, api: AirflowApi) -> None:
    stub.answers["POST /api/v2/pools"] = (201, {"name": "upbit"})
    api.ensure_pool("upbit", 1)
    method, path, body = stub.requests[-1]
    assert (method, path, body["name"], body["slots"]) == ("POST", "/api/v2/pools", "upbit", 1)
    stub.answers["GET /api/v2/pools/upbit"] = (200, {"name": "upbit", "slots": 3})
    api.ensure_pool("upbit", 1)
    assert stub.requests[-1][0] == "GET"


def test_a_refusal_of_airflow_is_an_error(stub: Stub, api: AirflowApi) -> None:
    stub.answers["POST /api/v2/pools"] = (403, {"detail": "forbidden"})
    with pytest.raises(StackError, match="403"):
        api.ensure_pool("upbit", 1)


@pytest.mark.parametrize("body", ["<html>another program</html>", "[]", '"x"'])
def test_another_programs_answer_is_an_error(stub: Stub, body: str) -> None:
    stub.answers["POST /auth/token"] = (200, body)
    with pytest.raises(StackError, match="another program"):
        AirflowApi(stub.url, "secret")


def test_a_wrong_password_is_said(stub: Stub) -> None:
    stub.answers["POST /auth/token"] = (401, {"detail": "Invalid credentials"})
    with pytest.raises(StackError, match="401"):
        AirflowApi(stub.url, "wrong")


def test_connections_carry_addresses_and_passwords(stack: StackSettings) -> None:
    found = airflow.connections(stack, Settings(flask_token="token", hive_user="ann", hive_password="pw"))
    hive, flask = (json.loads(found[f"AIRFLOW_CONN_UPBIT_{name}"]) for name in ("HIVE", "FLASK"))
    assert (hive["host"], hive["port"], hive["login"], hive["password"]) == ("127.0.0.1", stack.hive_port, "ann", "pw")
    assert (flask["port"], flask["password"]) == (stack.flask_port, "token")
    database = airflow.variables(stack, Secrets())["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert found["AIRFLOW_CONN_UPBIT_AIRFLOW_DB"] == database, "what tasks are not given any other way"


def test_everything_of_airflow_is_in_its_own_folder_and_on_loopback(stack: StackSettings) -> None:
    found = airflow.variables(stack, Secrets())
    assert found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith(f"sqlite:///{stack.data_dir}/airflow/airflow.db?")
    assert found["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == f"http://127.0.0.1:{stack.airflow_port}/execution/"
    assert found["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] == "False"
