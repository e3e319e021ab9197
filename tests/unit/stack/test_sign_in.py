"""Airflow's sign-in stays where the browser is: another host name, a tunnel's port, a proxy's sub-path.

Airflow's own routes with the settings of docker compose and of ./run, each in a process: Airflow reads them on import.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from upbit_elt.stack import airflow, options, secrets

REPO = Path(__file__).resolve().parents[3]
FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
SIMPLE = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
ASK = """
import json, os, pkgutil, sys, types
from fastapi import FastAPI
from fastapi.testclient import TestClient
from airflow.api_fastapi.core_api import routes

# its own __init__ builds all of Airflow's routes, which takes seconds
public = sys.modules[f"{routes.__name__}.public"] = types.ModuleType("public")
public.__path__ = [f"{path}/public" for path in routes.__path__]
from airflow.api_fastapi.core_api.routes.public.auth import auth_router

app, found = FastAPI(), []
app.include_router(auth_router, prefix="/api/v2")
for manager, base_url, origin in json.loads(sys.argv[1]):
    os.environ["AIRFLOW__API__BASE_URL"] = base_url
    app.state.auth_manager = pkgutil.resolve_name(manager)()
    browser = TestClient(app, base_url=origin, follow_redirects=False)
    answer = browser.get("/api/v2/auth/login", params={"next": origin + "/dags"})
    found.append(answer.headers["location"].partition("?")[0])
print("RESULT" + json.dumps(found))
"""


def sent(folder: Path, *cases: tuple[str, str, str]) -> list[str]:
    """Where a browser is sent that is not signed in, by auth manager, base URL and the origin that it opened.

    All base URLs need the same path, which Airflow reads once.
    """
    environment = os.environ | {"AIRFLOW_HOME": str(folder), "AIRFLOW__API__BASE_URL": cases[0][1]}
    command = [sys.executable, "-W", "ignore", "-c", ASK, json.dumps(cases)]
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.rpartition("RESULT")[2])
    return found


def compose_default() -> str:
    given = re.search(
        r"AIRFLOW__API__BASE_URL: \$\{AIRFLOW_BASE_URL:-(\S+)\}", (REPO / "docker-compose.yml").read_text()
    )
    assert given
    return given[1]


def test_sign_in_stays_at_the_name_and_port_that_the_browser_uses(tmp_path: Path) -> None:
    compose = compose_default()
    run = airflow.variables(options.load(data_dir=tmp_path / "data"), secrets.Secrets())["AIRFLOW__API__BASE_URL"]
    fab = [(FAB, compose, origin) for origin in ("http://localhost:8080", "http://localhost:9090", "http://box.lan")]
    simple = [(SIMPLE, run, origin) for origin in ("http://127.0.0.1:8080", "http://localhost:9090")]
    assert sent(tmp_path, *fab, *simple) == ["/auth/login/"] * len(fab) + ["/auth/login"] * len(simple)


@pytest.mark.soak
def test_sign_in_stays_below_a_proxys_sub_path(tmp_path: Path) -> None:
    public = "https://company.example/airflow"
    assert sent(tmp_path, (FAB, public, "http://company.example")) == [f"{public}/auth/login/"]
