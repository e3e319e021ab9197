"""Airflow 3 by environment alone: SQLite, LocalExecutor, loopback; and the few calls of its REST API."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import requests
from dotenv import dotenv_values

from upbit_elt import direct
from upbit_elt.errors import StackError
from upbit_elt.files import write_atomically
from upbit_elt.settings import Settings
from upbit_elt.stack.names import HOST, REPO
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.secrets import Secrets, write_private

SHARED = REPO / "docker" / "airflow.env"
USER = "admin"
POOL = "upbit"
TIMEOUT = 20.0
MIGRATE_TIMEOUT = 300.0
# Seconds to wait for another writer of the SQLite file; with the 5 of the driver, requests fail on a busy machine.
LOCK_TIMEOUT = 60
_DAG = re.compile(r"^@dag\b|\bDAG\(", re.MULTILINE)


def password_file(stack: StackSettings) -> Path:
    """Where SimpleAuthManager reads the password of `admin` from."""
    return stack.airflow_home / "passwords.json"


def variables(stack: StackSettings, secrets: Secrets) -> dict[str, str]:
    """Airflow's whole configuration: what docker compose has too, and what is of this machine."""
    url = stack.airflow_url
    shared = {name: value for name, value in dotenv_values(SHARED).items() if value is not None}
    return shared | {
        "AIRFLOW_HOME": str(stack.airflow_home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(stack.dags_dir),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPO / "plugins"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__FERNET_KEY": secrets.airflow_fernet_key,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(password_file(stack)),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(stack.airflow_port),
        "AIRFLOW__API__SECRET_KEY": secrets.airflow_api_secret,
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.airflow_jwt_secret,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": _database(stack),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(stack.airflow_home / "logs"),
    }


def connections(stack: StackSettings, settings: Settings) -> dict[str, str]:
    """The Connections of the DAGs; Airflow masks their passwords."""
    hive_password = settings.hive_password.get_secret_value()
    named: dict[str, dict[str, object]] = {
        "UPBIT_WEBHDFS": _connection("http", stack.namenode_http_port, settings.webhdfs_user),
        "UPBIT_HIVE": _connection("hiveserver2", stack.hive_port, settings.hive_user, hive_password),
        "UPBIT_FLASK": _connection("http", stack.flask_port, password=settings.flask_token.get_secret_value()),
    }
    found = {f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in named.items()}
    # tasks are not given Airflow's database; `housekeeping` cleans it
    return found | {"AIRFLOW_CONN_UPBIT_AIRFLOW_DB": _database(stack)}


def unpaused_file(stack: StackSettings) -> Path:
    """Where `./run` keeps which DAGs it has let run. It is written once all services are healthy for the first time."""
    return stack.airflow_home / "unpaused.json"


def prepare(stack: StackSettings, secrets: Secrets, environment: dict[str, str]) -> None:
    """Write the password file and bring the database to this Airflow's version (skipped when it is there).

    Raises:
        StackError: `airflow db migrate` failed; its last words are in the message.
    """
    write_private(password_file(stack), json.dumps({USER: secrets.airflow_password}))
    if migrated(stack):
        return
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    log = stack.logs_dir / "airflow-migrate.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            timeout=MIGRATE_TIMEOUT,
            check=False,
        )
    if done.returncode:
        raise StackError(f"airflow db migrate failed ({log}): {log.read_text().strip()[-500:]}")
    _stamp(stack).write_text(version("apache-airflow"))


def migrated(stack: StackSettings) -> bool:
    """Whether the database is there, made by this version of Airflow."""
    stamp = _stamp(stack)
    return stamp.exists() and stamp.read_text() == version("apache-airflow")


def _database(stack: StackSettings) -> str:
    return f"sqlite:///{stack.airflow_home / 'airflow.db'}?timeout={LOCK_TIMEOUT}"


def _stamp(stack: StackSettings) -> Path:
    return stack.airflow_home / "migrated"


class AirflowApi:
    """The REST API as `admin`. Every method raises StackError when it does not answer or refuses."""

    def __init__(self, url: str, password: str) -> None:
        self._url = url
        given = self._request("POST", "/auth/token", json={"username": USER, "password": password})
        self._headers = {"Authorization": f"Bearer {given.get('access_token')}"}

    def ensure_pool(self, name: str, slots: int) -> None:
        """Make a pool; one that is there keeps the size that its user gave it."""
        if "name" not in self._call("GET", f"/pools/{name}", accept=(404,)):
            body = {"name": name, "slots": slots, "description": "one run at a time sends requests to the exchange"}
            self._call("POST", "/pools", body)

    def dags(self) -> dict[str, bool]:
        """Whether each DAG is paused, by id."""
        response = self._call("GET", "/dags?limit=100")
        return {dag["dag_id"]: bool(dag["is_paused"]) for dag in response["dags"]}

    def dag_files(self) -> set[str]:
        """Names of the files in which Airflow has found DAGs."""
        return {Path(dag["fileloc"]).name for dag in self._call("GET", "/dags?limit=100")["dags"]}

    def import_errors(self) -> dict[str, str]:
        """The last line of the error, by name of each file that cannot be imported."""
        errors = self._call("GET", "/importErrors")["import_errors"]
        return {Path(error["filename"]).name: error["stack_trace"].strip().splitlines()[-1] for error in errors}

    def unpause(self, dag: str) -> None:
        """Let a DAG run."""
        self._call("PATCH", f"/dags/{dag}?update_mask=is_paused", {"is_paused": False})

    def _call(self, method: str, path: str, body: object = None, accept: Iterable[int] = ()) -> Any:
        return self._request(method, f"/api/v2{path}", accept, json=body, headers=self._headers)

    def _request(self, method: str, path: str, accept: Iterable[int] = (), **options: Any) -> Any:
        try:
            response = direct.request(method, self._url + path, timeout=TIMEOUT, **options)
        except requests.RequestException as error:
            raise StackError(
                f"Airflow does not answer ({type(error).__name__}): ./run logs airflow-api-server"
            ) from error
        if not response.ok and response.status_code not in accept:
            raise StackError(f"Airflow's API refused {method} {path}: {response.status_code} {response.text[:300]}")
        try:
            body: Any = response.json()
        except requests.JSONDecodeError:
            body = None
        if not isinstance(body, dict):
            raise StackError(f"{self._url} is not Airflow's API: does another program have this port?")
        return body


def unpause_new(api: AirflowApi, remembered: Path) -> list[str]:
    """Unpause the DAGs never seen before; one that its user paused later stays paused. Gives the ids of the new."""
    known = set(json.loads(remembered.read_text())) if remembered.exists() else set()
    new = sorted(set(api.dags()) - known)
    for dag in new:
        api.unpause(dag)
    write_atomically(remembered, json.dumps(sorted(known | set(new))))
    return new


def undecided(api: AirflowApi, folder: Path) -> list[str]:
    """Names of the DAG files of a folder that Airflow has not parsed yet, and why when it cannot import them."""
    errors, parsed = api.import_errors(), api.dag_files()
    files = [path for path in folder.glob("*.py") if path.name not in {*parsed, *errors}]
    unread = [path.name for path in files if _DAG.search(path.read_text())]
    return sorted([*unread, *(f"{name}: {words}" for name, words in errors.items())])


def _connection(kind: str, port: int, login: str | None = None, password: str | None = None) -> dict[str, object]:
    values = {"conn_type": kind, "host": HOST, "port": port, "login": login, "password": password}
    return {name: value for name, value in values.items() if value is not None}
