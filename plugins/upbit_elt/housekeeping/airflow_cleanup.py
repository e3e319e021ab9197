"""Clean Airflow's own database and logs, which grow with every run."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr

from upbit_elt.errors import CleanupFailed

log = logging.getLogger(__name__)

TIMEOUT = 1800.0
# Rows deleted in one transaction: on SQLite every other writer waits for its end.
BATCH = 1000
_DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
_BLOCKED = "AIRFLOW__CORE__SQL_ALCHEMY_CONN"


def clean_database(url: SecretStr, before: datetime) -> None:
    """Remove Airflow's rows from before `before` (UTC) for good, by its own `airflow db clean`.

    The last scheduled run of each DAG and the DAG versions in use stay. `url` is SQLAlchemy's; the command gets it by
    its environment, since Airflow hides it from tasks (task-sdk, `block_orm_access`).

    Raises:
        CleanupFailed: a table could not be cleaned; the message has the end of Airflow's output.
    """
    command = [sys.executable, "-m", "airflow", "db", "clean", "--yes", "--skip-archive", "--error-on-cleanup-failure"]
    command += ["--clean-before-timestamp", before.isoformat(), "--batch-size", str(BATCH)]
    environment = {name: value for name, value in os.environ.items() if name != _BLOCKED}
    done = subprocess.run(
        command,
        env=environment | {_DATABASE: url.get_secret_value()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    words = done.stdout.replace(url.get_secret_value(), "***").strip()
    if done.returncode:
        raise CleanupFailed(f"airflow db clean ended with {done.returncode}: {words[-2000:]}")
    log.info("airflow db clean: %s", words)


def clean_logs(folder: Path, before: datetime) -> int:
    """Remove log files older than `before` (UTC) and folders that become empty; returns the number of files.

    A folder that changed later stays, even when it is empty: a task may be about to write into it.
    """
    limit, removed = before.timestamp(), 0
    # deepest first; ages are read before anything changes them
    tree = [(Path(path), names, os.stat(path).st_mtime) for path, _, names in os.walk(folder, topdown=False)]
    for path, names, changed in tree:
        for file in (path / name for name in names):
            if file.lstat().st_mtime < limit:
                file.unlink()
                removed += 1
        if changed < limit and path != folder and not any(path.iterdir()):
            path.rmdir()
    return removed
