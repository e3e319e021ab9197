"""A deployment by docker compose, as a user has it: its own project, settings file and ports."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import requests

from tests.support.ports import free_ports
from tests.support.stack import wait_for
from upbit_elt.warehouse.hive import Hive

REPO = Path(__file__).resolve().parents[2]
PORTS = ("AIRFLOW_PORT", "FLASK_PORT", "HIVE_PORT", "WEBHDFS_PORT", "DATANODE_PORT", "YARN_PORT")
ENGINE = ["docker", "version", "--format", "{{.Server.Version}}"]


def engine_trouble() -> str | None:
    """Why no engine answers, None when one does."""
    try:
        done = subprocess.run(ENGINE, capture_output=True, text=True, timeout=30, check=False)
    except FileNotFoundError:
        return "docker is not installed"
    return None if done.returncode == 0 else (done.stderr or done.stdout).strip().splitlines()[0]


def not_healthy(containers: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Those that cannot do their work now, of what Deployment.containers gives, and their state."""
    return {
        name: f"{state['Status']}, {state.get('Health', {}).get('Status')}"
        for name, container in containers.items()
        if (state := container["State"])["Status"] != "exited" or state["ExitCode"]
        if "Health" in state and state["Health"]["Status"] != "healthy"
    }


@cache  # it holds for hours and for every start with the same secrets; each sign-in costs Airflow a password hash
def airflow_token(url: str, password: str) -> str:
    """What signs requests to Airflow's API as its admin."""
    response = requests.post(f"{url}/auth/token", json={"username": "admin", "password": password}, timeout=30)
    response.raise_for_status()
    return str(response.json()["access_token"])


@dataclass(frozen=True)
class Deployment:
    """One project of docker compose and its settings file, run by the code in `repo`."""

    project: str
    env_file: Path
    repo: Path = REPO

    def run(self, *command: str, timeout: float = 900, check: bool = True) -> str:
        """What a command printed, run in `repo` with this project's settings."""
        names = {"COMPOSE_PROJECT_NAME": self.project, "COMPOSE_ENV_FILES": str(self.env_file)}
        done = subprocess.run(
            command,
            cwd=self.repo,
            env={**os.environ, **names},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout[-4000:]}"
        return done.stdout

    def compose(self, *arguments: str, timeout: float = 900, check: bool = True) -> str:
        """`docker compose ARGUMENTS`."""
        return self.run("docker", "compose", "--progress", "quiet", *arguments, timeout=timeout, check=check)

    def choose(self, *options: str) -> None:
        """`./run env OPTIONS` for this project's file."""
        self.run("bash", "docker/env.sh", str(self.env_file), *options)

    def configure(self) -> None:
        """The settings file of a new deployment: secrets, free ports, and the local exchange with 60 markets."""
        self.choose("--exchange", "replica")
        with self.env_file.open("a") as file:
            for name, port in zip(PORTS, free_ports(len(PORTS)), strict=True):
                file.write(f"{name}={port}\n")
            file.write("REPLICA_MARKETS=60\nUPBIT_ELT_HISTORY_DAYS=0\n")

    def settings(self) -> dict[str, str]:
        """Names and values of the settings file."""
        lines = self.env_file.read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    def containers(self) -> dict[str, dict[str, Any]]:
        """What the engine says of every container of the project, by container name."""
        names = self.compose("--profile", "*", "ps", "--all", "--quiet").split()
        found = json.loads(self.run("docker", "inspect", *names)) if names else []
        return {container["Name"].lstrip("/"): container for container in found}

    def in_app(self, *arguments: str, check: bool = True) -> str:
        """`python -m upbit_elt ARGUMENTS` in the scheduler's container."""
        return self.compose("exec", "-T", "airflow-scheduler", "python", "-m", "upbit_elt", *arguments, check=check)

    def hive(self, user: str = "upbit", password: str | None = None) -> Hive:
        """HiveServer2 from this machine."""
        known = self.settings()
        return Hive("127.0.0.1", int(known["HIVE_PORT"]), user, password or known["HIVE_PASSWORD"], 120)

    def count(self, table: str) -> int:
        """Rows of a table of the replica's lake."""
        ((count,),) = self.hive().query(f"SELECT count(*) FROM upbit_lake_replica.{table}")
        return int(count)

    def status(self) -> dict[str, Any]:
        """What Flask says of the data."""
        port = self.settings()["FLASK_PORT"]
        response = requests.get(f"http://127.0.0.1:{port}/api/v1/status", timeout=30)
        found: dict[str, Any] = response.json() if response.ok else {}
        return found

    def airflow(self, path: str, method: str = "GET", body: object = None) -> dict[str, Any]:
        """What Airflow's API answers its admin."""
        known = self.settings()
        url = f"http://127.0.0.1:{known['AIRFLOW_PORT']}"
        signed = {"Authorization": f"Bearer {airflow_token(url, known['AIRFLOW_ADMIN_PASSWORD'])}"}
        response = requests.request(method, f"{url}/api/v2{path}", headers=signed, json=body, timeout=30)
        response.raise_for_status()
        found: dict[str, Any] = response.json()
        return found

    def trigger(self, dag: str) -> None:
        """Start a run of a DAG by hand."""
        self.airflow(f"/dags/{dag}/dagRuns", "POST", {"logical_date": None})

    def successes(self, dag: str) -> list[str]:
        """Ids of the successful runs of a DAG, newest first."""
        runs = self.airflow(f"/dags/{dag}/dagRuns?state=success&limit=100&order_by=-run_after")["dag_runs"]
        return [run["dag_run_id"] for run in runs]

    def verified(self, seconds: float) -> str:
        """The last line of `verify`, once it finds Hive equal to the exchange: what is being switched may differ."""

        def words() -> str | None:
            last = self.in_app("verify", check=False).strip().splitlines()[-1]
            return last if "lost 0, doubled 0, altered 0, invented 0" in last else None

        return str(wait_for(words, seconds, every=3))

    def story(self) -> str:
        """State of each container, then the last lines that the scheduler's tasks and the daemons printed."""
        states = self.compose("ps", "--all", "--format", "{{.Name}} {{.Status}}", check=False)
        tasks = 'cd /data/logs && find . -name "*.log" -mmin -10 | xargs -r grep -hE "exc_value|Traceback" | tail -n 20'
        failures = self.compose("exec", "-T", "airflow-scheduler", "sh", "-c", tasks, check=False)
        logs = self.compose("logs", "--no-color", "--tail", "5", check=False)
        return "\n".join(line[:300] for text in (states, failures, logs) for line in text.splitlines())


def main_process(container: dict[str, Any]) -> int:
    """Process id, on this machine, of what a container runs (below Docker's init, where it has one)."""
    first = int(container["State"]["Pid"])
    if not container["HostConfig"].get("Init"):
        return first
    return int(Path(f"/proc/{first}/task/{first}/children").read_text().split()[0])
