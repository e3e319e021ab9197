"""Prometheus and promtool, as `./test` sets them up, and the files in `docker/monitoring`."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from tests.support.ports import free_ports
from upbit_elt import direct
from upbit_elt.stack.names import REPO
from upbit_elt.stack.polling import becomes_true

FOLDER = REPO / "docker" / "monitoring"
RULES, CONFIG, BOARD = FOLDER / "alerts.yml", FOLDER / "prometheus.yml", FOLDER / "grafana.json"


@lru_cache
def tool(name: str) -> Path:
    """Path of `prometheus` or `promtool`."""
    script = 'repo=$1; . "$repo/plugins/upbit_elt/stack/setup.sh"; need_prometheus "$repo/.data/prometheus"'
    command = ["bash", "-eu", "-c", script, "setup", str(REPO)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip()) / name


def rules() -> dict[str, dict[str, Any]]:
    """Every rule by the name of its alert."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def panels() -> list[dict[str, Any]]:
    """Those of the Grafana board, its rows included."""
    found: list[dict[str, Any]] = json.loads(BOARD.read_text())["panels"]
    return found


def queries() -> list[str]:
    """Every query of the board, as Grafana sends it for a span of some hours."""
    return [
        target["expr"].replace("$__rate_interval", "1m") for panel in panels() for target in panel.get("targets", [])
    ]


def metrics_of(expression: str) -> set[str]:
    """Names of our metrics in a PromQL expression."""
    return set(re.findall(r"\b(?:upbit|process)_\w+", re.sub(r'"[^"]*"', '""', expression)))


class Prometheus:
    """A running Prometheus with the deployment's own configuration, but quicker, and other addresses."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str, **query: str) -> Any:
        return self.read(path, **query)["data"]

    def read(self, path: str, **query: str) -> Any:
        return direct.request("GET", f"{self._url}/api/v1/{path}", params=query, timeout=10).json()

    def is_ready(self) -> bool:
        try:
            return direct.request("GET", f"{self._url}/-/ready", timeout=10).ok
        except OSError:
            return False

    def firing(self) -> set[str]:
        return {one["labels"]["alertname"] for one in self.get("alerts")["alerts"] if one["state"] == "firing"}

    def health(self) -> dict[str, str]:
        """Of each rule, after its first evaluation."""
        return {rule["name"]: rule["health"] for group in self.get("rules")["groups"] for rule in group["rules"]}


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[Prometheus]:
    """One that scrapes a port of this machine for the block; what it keeps is in `folder`."""
    (port,) = free_ports(1)
    config = yaml.safe_load(CONFIG.read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{target}"]
    config["rule_files"] = [str(RULES)]
    folder.mkdir()
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    log = folder / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [
                str(tool("prometheus")),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=file,
            stderr=file,
            env=os.environ | {"GOMAXPROCS": "1"},
        )
    try:
        running = Prometheus(f"http://127.0.0.1:{port}")
        assert becomes_true(running.is_ready, 60), log.read_text()
        yield running
    finally:
        process.terminate()
        process.wait(30)
