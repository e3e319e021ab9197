"""docker-compose.yml: each image is built once, by a service that whatever uses the image depends on."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from upbit_elt.settings import Settings
from upbit_elt.stack.names import REPO

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((REPO / "docker-compose.yml").read_text())["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"].startswith("upbit-elt/")}
BUILDERS = {one["image"]: name for name, one in OURS.items() if "build" in one}
OURS_WITH = [(name, one) for name, one in OURS.items() if "environment" in one]


def needs(name: str) -> set[str]:
    """A service and all that it depends on."""
    return {name}.union(*(needs(other) for other in SERVICES[name].get("depends_on", {})))


def test_one_service_builds_each_image() -> None:
    """With a `build` in every service each image was made eight times, and the others were left dangling."""
    assert set(Counter(one["image"] for one in OURS.values() if "build" in one).values()) == {1}
    assert set(BUILDERS) == {one["image"] for one in OURS.values()}


@pytest.mark.parametrize("name", OURS)
def test_starting_one_service_builds_its_image_too(name: str) -> None:
    assert BUILDERS[OURS[name]["image"]] in needs(name)
    assert OURS[name]["pull_policy"] == "never", "no registry has it, and another project's must not be taken for it"


def test_workers_and_the_page_do_not_know_airflows_database() -> None:
    """It was in the environment of every task. Those of a scheduler with its LocalExecutor are its children."""
    names = {
        name: [n for n, v in one["environment"].items() if "AIRFLOW_DB_PASSWORD" in str(v)] for name, one in OURS_WITH
    }
    core = ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert {name: found for name, found in names.items() if found} == {
        "airflow-init": core,
        "airflow-apiserver": [*core, "AIRFLOW_CONN_UPBIT_AIRFLOW_DB"],
        "airflow-scheduler": core,
        "airflow-dag-processor": core,
        "airflow-triggerer": core,
    }


def test_readme_names_the_setting_of_each_port_that_may_be_taken() -> None:
    """Docker's message names the port alone."""
    published = " ".join(port for one in SERVICES.values() for port in one.get("ports", []))
    settings = dict(re.findall(r":\$\{(\w+_PORT):-(\d+)\}:", published))
    rows = [line.strip("| ").split(" | ") for line in (REPO / "README.md").read_text().splitlines()]
    (taken,) = [row[1:] for row in rows if row[0] == "taken"]
    (named,) = [row[1:] for row in rows if row[0] == "setting" and "`FLASK_PORT`" in row]
    assert dict(zip((name.strip("`") for name in named), taken, strict=True)) == settings


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name.startswith("keep_")])
def test_every_retention_time_can_be_set_in_env(name: str) -> None:
    variable = f"UPBIT_ELT_{name.upper()}"
    services = ["backup"] if name.startswith("keep_backup") else ["airflow-scheduler", "airflow-worker", "flask"]
    for service in services:
        assert SERVICES[service]["environment"][variable] == f"${{{variable}:-}}", "empty is the default"


MEASURED = {
    "scheduler with the tasks of the moment": ["airflow-scheduler"],
    "API server, DAG processor, triggerer": ["airflow-apiserver", "airflow-dag-processor", "airflow-triggerer"],
    "HiveServer2": ["hiveserver2"],
    "metastore; PostgreSQL": ["metastore", "postgres"],
    "NameNode, DataNode": ["namenode", "datanode"],
    "ResourceManager, NodeManager with Tez": ["resourcemanager", "nodemanager"],
    "Flask, with the model": ["flask"],
    "replica": ["replica"],
}


@pytest.mark.parametrize("label", MEASURED)
def test_the_memory_limits_of_the_scaling_page_are_these(label: str) -> None:
    table = (REPO / "docs" / "scaling.md").read_text().partition("| docker compose, the processes' own")[2]
    row = next(line for line in table.splitlines() if line.startswith(f"| {label} |"))
    limits = re.split("[,;] ", row.split("|")[-2].strip())
    for name, limit in zip(MEASURED[label], limits, strict=True):
        assert SERVICES[name]["mem_limit"].endswith(f":-{limit}}}"), name
