"""A whole stack, started by `./run` as a user would, on free ports and in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import psutil
import requests
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from upbit_elt.errors import StackError
from upbit_elt.settings import Settings
from upbit_elt.stack import environment
from upbit_elt.stack.options import StackSettings, load
from upbit_elt.stack.status import DataProgress, progress
from upbit_elt.stack.supervision import Supervisor

REPO = Path(__file__).resolve().parents[2]
T = TypeVar("T")
STATUS = 5.0  # seconds between two calls of `./run status`, which takes a second or two of a processor


@dataclass
class Stack:
    """A running stack: its settings as environment variables, and what a user can do with it.

    `at_start` is its status right after it was started.
    """

    variables: Mapping[str, str]
    at_start: dict[str, Any] = field(default_factory=dict)

    def start(self) -> None:
        """Start everything with the replica."""
        started = self.run("--exchange", "replica", timeout=1500)
        assert started.returncode == 0, started.stdout + started.stderr
        self.at_start = self.status()

    def run(self, *arguments: str, timeout: float = 600, **more: str) -> subprocess.CompletedProcess[str]:
        """`./run ARGUMENTS`, with what it printed; `more` are variables for this run alone."""
        return subprocess.run(
            [str(REPO / "run"), *arguments],
            env=os.environ | self.variables | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        """What `./run status --json` prints."""
        status: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return status

    def progress(self) -> DataProgress:
        """How far the data is, for a fraction of what `status` costs; nothing is known while Flask does not say."""
        try:
            return progress(self.options)
        except StackError:
            return DataProgress()

    def pid(self, service: str) -> int | None:
        """Process id of a service, as its supervisor says; None while it does not run."""
        return Supervisor(self.options).state(service).pid

    def process(self, service: str) -> psutil.Process:
        """The process of a service that runs."""
        pid = self.pid(service)
        assert pid, f"{service} does not run"
        return psutil.Process(pid)

    @property
    def options(self) -> StackSettings:
        """Folders and ports of this stack."""
        given = {
            name.removeprefix("UPBIT_RUN_").lower(): value
            for name, value in self.variables.items()
            if name.startswith("UPBIT_RUN_")
        }
        return load(**given)

    @property
    def settings(self) -> Settings:
        """Settings that point to this stack, as `./run` hands them to its services."""
        options = self.options
        return environment.settings_for(options, dataset="replica", base_url=options.replica_url)

    @property
    def data(self) -> Path:
        """Its data folder."""
        return Path(self.variables["UPBIT_RUN_DATA_DIR"])

    @contextmanager
    def sends_to(self, webhook: str) -> Iterator[None]:
        """It sends to this webhook what is wrong, for the block."""
        file = self.data / "state" / "webhook"
        file.write_text(webhook)
        try:
            yield
        finally:
            file.unlink()

    @property
    def page(self) -> str:
        """Address of the dashboard."""
        return f"http://127.0.0.1:{self.variables['UPBIT_RUN_FLASK_PORT']}"

    @property
    def airflow(self) -> str:
        """Address of Airflow."""
        return f"http://127.0.0.1:{self.variables['UPBIT_RUN_AIRFLOW_PORT']}"

    def airflow_api(self) -> requests.Session:
        """A session on Airflow's API, logged in as the admin of this stack."""
        home = Path(self.variables["UPBIT_RUN_DATA_DIR"]) / "airflow"
        (file,) = home.glob("*passwords*.json*")
        password = json.loads(file.read_text())["admin"]
        login = {"username": "admin", "password": password}
        token = requests.post(f"{self.airflow}/auth/token", json=login, timeout=30)
        token.raise_for_status()
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
        return session


def wait_for(condition: Callable[[], T], seconds: float, every: float = 1) -> T:
    """The first true value of `condition`, called every `every` seconds for at most `seconds`."""
    poll = retry(retry=retry_if_result(lambda value: not value), wait=wait_fixed(every), stop=stop_after_delay(seconds))
    return poll(condition)()


def utc_of(text: str) -> datetime:
    """Aware datetime of a status time (`...Z`)."""
    return datetime.fromisoformat(text)
