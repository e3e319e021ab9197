"""The repository as a DAG bundle of another Airflow, with neither plugins/ nor the repository on its path."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.dags import DAGS

REPO = Path(__file__).resolve().parents[3]
GIT = "airflow.providers.git.bundles.git.GitDagBundle"
# What the dag-processor and then, in a process of its own, a task does with a bundle.
USE = """
import json, os, sys
from pathlib import Path
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.utils.file import list_py_file_paths

bundle = DagBundlesManager().get_bundle("upbit", os.environ.get("VERSION"))
bundle.initialize()
bag = BundleDagBag(bundle.path, bundle_path=bundle.path, bundle_name="upbit")
found = {"dags": sorted(bag.dags), "errors": bag.import_errors, "version": str(bundle.get_current_version()),
    "parsed": [Path(path).name for path in list_py_file_paths(bundle.path)]}

old = Path(os.environ["AIRFLOW__LOGGING__BASE_LOG_FOLDER"], "attempt=1.log")
old.touch()
os.utime(old, (0, 0))
found["removed"] = bag.dags["housekeeping"].get_task("clean_logs").python_callable()

import upbit_elt
from upbit_elt.flows import min_candle
from upbit_elt.warehouse import tables
found |= {"package": upbit_elt.__file__, "ddl": sorted(path.stem for path in tables.DDL.iterdir())}
print("RESULT" + json.dumps(found))
"""


def use(bundle: str, home: Path, options: dict[str, str], version: str | None = None) -> dict[str, Any]:
    logs = home / "logs"
    logs.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(logs),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "bundles"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
            [{"name": "upbit", "classpath": bundle, "kwargs": options}]
        ),
    }
    if version:
        environment["VERSION"] = version
    command = [sys.executable, "-c", USE]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout.rpartition("RESULT")[2])
    return result


def check(found: dict[str, Any], folder: Path) -> None:
    assert found["errors"] == {}
    assert set(found["dags"]) == DAGS
    assert sorted(found["parsed"]) == sorted(f"{name}.py" for name in DAGS), "the package is not parsed for DAGs"
    assert found["removed"] == 1, "a task of it has done its work"
    assert Path(found["package"]).is_relative_to(folder)
    assert {"candle", "forecast"} <= set(found["ddl"])


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A git repository with the files of this one, as they are now."""
    folder = tmp_path / "origin"
    folder.mkdir()
    listed = git(REPO, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if os.path.lexists(REPO / name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPO / name, folder / name, follow_symlinks=False)
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        git(folder, *words)
    return folder


@pytest.mark.soak
def test_a_local_bundle(tmp_path: Path) -> None:
    bundle = "airflow.dag_processing.bundles.local.LocalDagBundle"
    check(use(bundle, tmp_path, {"path": str(REPO / "dags")}), REPO / "dags")


@pytest.mark.soak
def test_a_git_bundle_follows_its_branch(tmp_path: Path, origin: Path) -> None:
    found = use(GIT, tmp_path, tracked(origin))
    check(found, tmp_path / "bundles")
    assert git(origin, "rev-parse", "HEAD").strip() in found["version"]


def test_a_task_of_a_git_bundle_runs_the_version_of_its_dag_run(tmp_path: Path, origin: Path) -> None:
    first = git(origin, "rev-parse", "HEAD").strip()
    (origin / "plugins" / "upbit_elt" / "__init__.py").write_text("raise ImportError('a broken release')")
    git(origin, "commit", "-q", "-a", "-m", "broken")
    check(use(GIT, tmp_path, tracked(origin), version=first), tmp_path / "bundles" / "upbit" / "versions" / first)


def tracked(origin: Path) -> dict[str, str]:
    """Options of a git bundle of a repository's main branch."""
    return {"repo_url": str(origin), "tracking_ref": "main", "subdir": "dags"}


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
