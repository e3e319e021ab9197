"""Prometheus and promtool, as `./test` sets them up, and the files in `docker/monitoring`."""

from __future__ import annotations

import re
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from upbit_elt.stack.options import REPO

FOLDER = REPO / "docker" / "monitoring"
RULES, CONFIG = FOLDER / "alerts.yml", FOLDER / "prometheus.yml"


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


def metrics_of(expression: str) -> set[str]:
    """Names of our metrics in a PromQL expression."""
    return set(re.findall(r"\b(?:upbit|process)_\w+", re.sub(r'"[^"]*"', '""', expression)))
