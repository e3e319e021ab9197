"""Backups of the local stack: what is in them, and the way back into an empty data folder.

In a backup: `lake.tar` (all of HDFS), and under `files/` what of the data folder cannot be made again. Hive's tables
are not in it: `housekeeping` makes them from the lake.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from upbit_elt import backups, release
from upbit_elt.clock import SystemClock
from upbit_elt.errors import BackupFailed
from upbit_elt.lake import archive
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.stack import choice, health, jars, plan, preflight
from upbit_elt.stack.choice import Choice
from upbit_elt.stack.halt import halt
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.supervision import Supervisor
from upbit_elt.stack.waiting import ProgressLine, until_healthy

LAKE, FILES = "lake.tar", "files"
_FILES = (
    "secrets.json",
    "stack.json",
    "airflow/unpaused.json",
    "airflow/migrated",
    "state/release.json",
    "state/webhook",
)
_DATABASE = "airflow/airflow.db"


def once(stack: StackSettings, settings: Settings, folder: Path) -> Path:
    """Make a backup of the running stack in a folder, and remove old ones.

    Raises:
        BackupFailed: the folder cannot be written to, or another backup into it is at work.
        LakeUnavailable: HDFS does not answer.
    """
    now = datetime.now(UTC)
    files = {
        f"{FILES}/{name}": backups.copied(stack.data_dir / name) for name in _FILES if (stack.data_dir / name).exists()
    }
    lake = Lake.from_settings(settings)

    def database(out: BinaryIO) -> None:
        _copy_database(stack.data_dir / _DATABASE, out)

    made = backups.make(
        folder, {**files, f"{FILES}/{_DATABASE}": database, LAKE: lambda out: archive.save(lake, out, now)}, now
    )
    backups.prune(folder, settings.keep_backups, settings.keep_backup_days, now)
    return made


def daily(stack: StackSettings, settings: Settings, folder: Path) -> None:
    """Make one a day, for ever: the service `backup`."""
    clock = SystemClock()
    schedule = backups.Daily(folder, settings.state_dir, lambda: once(stack, settings, folder), clock)
    hdfs = health.namenode(settings.webhdfs_url)
    while hdfs():  # it starts with this service
        clock.sleep(backups.LOOK / 10)
    schedule.run()


def restore(stack: StackSettings, backup: Path, progress: ProgressLine) -> int:
    """Bring a backup of `once` into a data folder without data; nothing runs at the end. Returns the number of files.

    Raises:
        BackupFailed: it is not a complete backup, or the data folder holds data.
        StackError: HDFS does not start.
    """
    backups.check(backup)
    if not (backup / FILES / "secrets.json").exists():
        raise BackupFailed(f"{backup} is not a backup of ./run: docker/restore.sh restores those of docker compose")
    for taken in (stack.data_dir / "hdfs", stack.data_dir / _DATABASE):
        if taken.exists():
            raise BackupFailed(
                f"{taken} exists: a backup is restored into an empty data folder only (UPBIT_RUN_DATA_DIR)"
            )
    release.check(backup / FILES / "state")
    shutil.copytree(backup / FILES, stack.data_dir, dirs_exist_ok=True)
    choice.move(stack)
    memory = choice.recall(stack)
    if memory is None:
        raise BackupFailed(f"{backup} does not say which exchange it is of")
    jars.fetch(stack.jars)
    planned = plan.make(stack, Choice(memory.exchange, memory.replay))
    hdfs = [service for service in planned.services if service.name in ("namenode", "datanode")]
    preflight.check_ports(stack, [port for service in hdfs for port in service.ports])
    supervisor = Supervisor(stack)
    supervisor.start_daemon(planned.configuration, planned.environment)
    try:
        for service in hdfs:
            supervisor.start(service.name)
        until_healthy(stack, hdfs, progress)
        with (backup / LAKE).open("rb") as source:
            return archive.restore(Lake.from_settings(planned.settings), source, owners=False)
    finally:
        halt(stack)


def _copy_database(source: Path, out: BinaryIO) -> None:
    """SQLite's own copy, whole while others write."""
    with tempfile.TemporaryDirectory(dir=source.parent) as room:
        copy = Path(room) / source.name
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as live,
            closing(sqlite3.connect(copy)) as fresh,
        ):
            live.backup(fresh)
        backups.copied(copy)(out)
