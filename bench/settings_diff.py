"""What differs between `./run` and docker compose: python bench/settings_diff.py (needs .env: ./run env).

Both start the same code with the same files; they differ in environment variables alone, which this prints.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "plugins"))

from rich.console import Console
from rich.table import Table

from upbit_elt.settings import Settings
from upbit_elt.stack import environment, options, plan
from upbit_elt.stack.choice import Choice

SERVICES = ("namenode", "datanode", "nodemanager", "metastore", "hiveserver2", "airflow-scheduler", "flask")
OURS = re.compile(r"^(STACK|UPBIT|AIRFLOW|HADOOP)_")
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY|CONN|USERS$|RESULT_BACKEND|BROKER")
# where things are, which differs by nature
PLACE = re.compile(r"HOST|PORT|_DIR|FOLDER|URL|URI|AIRFLOW_HOME|PASSWORDS_FILE|UPBIT_RUN_STACK")


def of_run() -> dict[str, str]:
    """The environment of `./run --exchange replica`."""
    with tempfile.TemporaryDirectory() as folder:
        stack = options.load(data_dir=folder, exchange="replica")
        return dict(plan.make(stack, Choice("replica", None)).variables)


def of_compose() -> dict[str, str]:
    """The environments of the services of docker compose, as one."""
    command = ["docker", "compose", "--profile", "*", "config", "--format", "json"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr.strip())
    services = json.loads(done.stdout)["services"]
    given = {name: value or "" for service in SERVICES for name, value in services[service]["environment"].items()}
    return environment.application(Settings.model_construct()) | given  # what is not given has its default


def main() -> None:
    """Print the settings that differ, places and secrets by name only."""
    run, compose = of_run(), of_compose()
    names = sorted(
        name for name in run.keys() | compose.keys() if OURS.match(name) and run.get(name) != compose.get(name)
    )
    table = Table("setting", "./run", "docker compose", box=None)
    places = [name for name in names if PLACE.search(name) or SECRET.search(name)]
    for name in sorted(set(names) - set(places)):
        table.add_row(name, run.get(name, "(default)"), compose.get(name, "(default)"))
    console = Console(width=150)
    console.print(table)
    same = [name for name in run if OURS.match(name) and run[name] == compose.get(name)]
    console.print(
        f"\n{table.row_count} differ; {len(same)} are the same; {len(places)} are addresses, folders or secrets."
    )


if __name__ == "__main__":
    main()
