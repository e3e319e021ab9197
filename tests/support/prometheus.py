"""Prometheus and promtool, as `./test` sets them up, and the files in `docker/monitoring`."""

from __future__ import annotations

import json
import re
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from upbit_elt.stack.names import REPO

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
