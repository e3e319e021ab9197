"""A real HDFS is copied as it is at one moment while it is written to; nothing stays of a backup that is killed."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

import pytest
from rich.console import Console

from tests.support.ports import stack_ports
from upbit_elt import backups
from upbit_elt.errors import BackupFailed
from upbit_elt.lake import archive
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.stack import backup, choice, processes, secrets
from upbit_elt.stack.choice import RememberedChoice
from upbit_elt.stack.options import StackSettings, load
from upbit_elt.stack.waiting import ProgressLine

WHOLE = b"x" * 100_000
# Writes to nobody who reads: it stops in the middle.
AT_IT = """
import sys
from datetime import UTC, datetime
from upbit_elt.lake import archive
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings

def said(path):
    print(path, flush=True)
    sys.stdin.read()

archive.write(Lake.from_settings(Settings()), open("/dev/null", "wb"), datetime.now(UTC), said)
"""


@pytest.fixture
def lake(daemons: Settings) -> Lake:
    return Lake.from_settings(daemons)


@pytest.fixture
def folder(lake: Lake) -> Iterator[str]:
    path = f"/backup-{uuid4().hex}"
    yield path
    lake.delete(path)


@contextmanager
def writing(lake: Lake, folder: str) -> Iterator[list[str]]:
    """Somebody publishes file after file; gives their paths, at least one when the block begins."""
    published: list[str] = []
    begun, over = Event(), Event()

    def write() -> None:
        while not over.is_set():
            path = f"{folder}/{len(published)}"
            lake.publish(path, WHOLE)
            published.append(path)
            begun.set()

    thread = Thread(target=write)
    thread.start()
    try:
        assert begun.wait(60)
        yield published
    finally:
        over.set()
        thread.join()


def test_a_backup_has_every_file_that_was_there_when_it_began_and_no_later_one(lake: Lake, folder: str) -> None:
    out, late = BytesIO(), f"{folder}/late"
    with writing(lake, folder) as published:
        before, gone = set(published), published[0]

        def meanwhile(_: str) -> None:
            if not lake.exists(late):
                lake.create(late, WHOLE)
                lake.delete(gone)

        assert archive.write(lake, out, datetime.now(UTC), meanwhile) == []
    with tarfile.open(fileobj=BytesIO(out.getvalue())) as tar:
        mine = {f"/{one.name}": one.size for one in tar if f"/{one.name}".startswith(f"{folder}/") and one.isfile()}
    plain = {path: size for path, size in mine.items() if not path.rpartition("/")[2].startswith("_")}
    assert before <= set(plain)
    assert late not in plain
    assert set(plain.values()) == {len(WHOLE)}
    assert lake.list("/.snapshot") == []


def test_a_killed_backup_leaves_hdfs_writable_and_the_next_removes_its_hdfs_snapshot(
    lake: Lake, daemons: Settings, folder: str
) -> None:
    lake.create(f"{folder}/before", WHOLE)
    variables = {"UPBIT_ELT_WEBHDFS_URL": daemons.webhdfs_url, "PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", AT_IT], env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        assert child.stdout.readline()
        child.send_signal(signal.SIGKILL)
    lake.create(f"{folder}/after", WHOLE)
    assert len(lake.list("/.snapshot")) == 1
    now = datetime.now(UTC)
    archive.write(lake, BytesIO(), now)
    assert len(lake.list("/.snapshot")) == 1, "it may still be at work"
    archive.write(lake, BytesIO(), now + archive.LONGEST + timedelta(minutes=1))
    assert lake.list("/.snapshot") == []


def test_a_backup_of_run_comes_back_in_an_empty_data_folder(
    lake: Lake,
    daemons: Settings,
    daemon_stack: StackSettings,
    shared_jars: Path,
    folder: str,
    tmp_path: Path,
) -> None:
    """The lake's bytes: tests/unit/lake/test_archive.py."""
    lake.create(f"{folder}/file", WHOLE)
    kept = secrets.load(daemon_stack.data_dir / "secrets.json")
    RememberedChoice(exchange="replica", namenode_port=daemon_stack.namenode_port).save(daemon_stack)
    database = daemon_stack.airflow_home / "airflow.db"
    database.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(database)) as airflow:
        airflow.execute("CREATE TABLE IF NOT EXISTS run (id TEXT)")
        airflow.execute("INSERT INTO run VALUES ('mine')")
        airflow.commit()
        made = backup.once(daemon_stack, daemons, tmp_path / "to")
    backups.check(made)

    fresh = load(data_dir=tmp_path / "data", jars_dir=shared_jars, **stack_ports())
    with ProgressLine(Console(quiet=True)) as progress:
        assert backup.restore(fresh, made, progress) > 0
        with pytest.raises(BackupFailed, match="into an empty data folder only"):
            backup.restore(fresh, made, progress)
    assert processes.members(fresh.data_dir) == []
    assert secrets.load(fresh.data_dir / "secrets.json") == kept
    memory = choice.recall(fresh)
    assert memory
    assert memory.exchange == "replica"
    with closing(sqlite3.connect(fresh.airflow_home / "airflow.db")) as airflow:
        assert airflow.execute("SELECT id FROM run").fetchone() == ("mine",)
