"""Soak: from the release before to this one on the same volumes, and back, as README's "Upgrade and rollback" says.

`UPBIT_UPGRADE_FROM=COMMIT` upgrades from another commit than the release before's last.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from tests.compose.conftest import Note
from tests.support.compose import REPO, Deployment
from tests.support.stack import wait_for as wait_often
from upbit_elt.release import LAYOUT

RUN = 900  # seconds in which a scheduled run has surely come and gone, on a busy machine
A_DAY = 3600  # and in which a day of history is there, closed and held against the exchange
LAKE, BI = "upbit_lake_replica", "upbit_bi_replica"
wait_for = partial(wait_often, every=5)
pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(REPO), *arguments], stdout=subprocess.PIPE, check=True).stdout


def last_commit_of_the_release_before() -> str:
    """The parent of the commit that gave the package its version; skips where this clone does not have it."""
    if given := os.environ.get("UPBIT_UPGRADE_FROM"):
        return given
    if not (REPO / ".git").exists():
        pytest.skip("no clone: the release before is not here")
    named = "-G^__version__ = ", "--", "plugins/upbit_elt/__init__.py"
    parents = git("log", "-1", "--format=%P", *named).decode().split()
    if not parents:
        pytest.skip("the release before is not in this clone, which is shallow: git fetch --unshallow")
    return parents[0]


@pytest.fixture(scope="module")
def deployment(new_deployment: Callable[[], Deployment]) -> Deployment:
    """By this release; the other fixture has its settings written and starts it."""
    return new_deployment()


@pytest.fixture(scope="module")
def before(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory, note: Note) -> Deployment:
    """The same project by the release before, with data: live candles, a proven day of history, forecasts, a model."""
    commit, folder = last_commit_of_the_release_before(), tmp_path_factory.mktemp("release-before")
    with tarfile.open(fileobj=io.BytesIO(git("archive", commit))) as archive:
        archive.extractall(folder, filter="data")
    old = replace(deployment, repo=folder)
    deployment.env_file.unlink()
    old.configure()
    with old.env_file.open("a") as file:
        file.write("UPBIT_ELT_HISTORY_DAYS=1\n")
    old.compose("build", timeout=3000)
    old.compose("up", "--wait", "--detach")
    wait_for(lambda: old.status().get("forecast_origin"), RUN)
    wait_for(lambda: "reconciliation" in tables(old) and old.count("reconciliation"), A_DAY)
    note(f"upgrade: verify by {commit[:7]}", old.verified(RUN))
    return old


def test_this_release_goes_on_with_what_the_one_before_wrote(
    before: Deployment, deployment: Deployment, note: Note
) -> None:
    old_view = f"CREATE OR REPLACE VIEW {BI}.candle AS SELECT market, dt FROM {LAKE}.candle"
    with before.hive().session() as hive:
        hive.execute(old_view)  # one with fewer columns, as every release may find it
    runs, status = before.successes("min_candle"), before.status()
    last = status["forecast_origin"].rstrip("Z")
    forecasts = forecast_hash(before, last)
    proven, candles = before.count("reconciliation"), before.count("candle")
    deployment.choose()
    deployment.compose("up", "--wait", "--detach")
    assert goes_on(deployment, runs)
    later = f"SELECT model_version FROM {LAKE}.forecast WHERE origin > '{last}' ORDER BY origin LIMIT 1"
    assert wait_for(lambda: deployment.hive().query(later), RUN) == [(status["model"]["version"],)]
    assert forecast_hash(deployment, last) == forecasts
    assert deployment.count("reconciliation") >= proven
    assert deployment.count("candle") > candles
    deployment.compose("exec", "-T", "airflow-scheduler", "airflow", "dags", "trigger", "housekeeping")
    assert wait_for(lambda: "candle_time_kst" in columns_of_view(deployment), RUN)
    note("upgrade: verify by this release", deployment.verified(RUN))


def test_the_release_before_goes_on_again_without_a_build(
    before: Deployment, deployment: Deployment, note: Note
) -> None:
    runs = deployment.successes("min_candle")
    before.compose("up", "--wait", "--detach")
    images = {container["Config"]["Image"] for container in before.containers().values()}
    assert not images & set(deployment.compose("config", "--images").split()) - {"postgres:17", "redis:8"}
    assert goes_on(before, runs)
    note("rollback: verify by the release before", before.verified(RUN))


def test_and_this_one_after_it(deployment: Deployment, note: Note) -> None:
    runs = deployment.successes("min_candle")
    deployment.compose("up", "--wait", "--detach")
    assert goes_on(deployment, runs)
    note("upgrade again: verify by this release", deployment.verified(RUN))


def test_a_downgrade_is_refused_in_one_line(deployment: Deployment) -> None:
    deployment.compose("down", "--timeout", "20")
    newer = json.dumps({"release": "9.0.0", "layout": LAYOUT + 1})
    write = ("--entrypoint", "sh", "flask", "-c", f"echo '{newer}' >/data/state/release.json")
    deployment.compose("run", "--rm", "--no-deps", "-T", *write)
    said = deployment.compose("up", "--wait", "--detach", check=False)
    assert "preflight" in said
    assert not [name for name, c in deployment.containers().items() if c["State"]["Running"]]
    lines = deployment.compose("logs", "--no-log-prefix", "--no-color", "preflight").strip().splitlines()
    (line,) = (line for line in lines if "preflight:" in line)  # compose may put an escape sequence before it
    assert "release 9.0.0 has written the volumes" in line
    assert "start that one or a newer one, or restore a backup" in line


def goes_on(deployment: Deployment, runs: list[str]) -> bool:
    """Once a live run has succeeded that was not among `runs`; these are still known, and every DAG can be read."""
    assert deployment.airflow("/importErrors")["total_entries"] == 0
    wait_for(lambda: set(deployment.successes("min_candle")) - set(runs), RUN)
    return set(runs) <= set(deployment.successes("min_candle"))


def tables(deployment: Deployment) -> set[str]:
    return {name for (name,) in deployment.hive().query(f"SHOW TABLES IN {LAKE}")}


def columns_of_view(deployment: Deployment) -> set[str]:
    return {str(row[0]) for row in deployment.hive().query(f"DESCRIBE {BI}.candle")}


def forecast_hash(deployment: Deployment, last: str) -> object:
    """Number and hash of the forecasts until this origin."""
    values = "market, origin, horizon, q05, q50, q95, model_version"
    return deployment.hive().query(
        f"SELECT count(*), sum(cast(hash({values}) AS BIGINT)) FROM {LAKE}.forecast WHERE origin <= '{last}'"
    )
