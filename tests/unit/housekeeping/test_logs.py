from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from upbit_elt.housekeeping.airflow_cleanup import clean_logs

NOW = datetime.now(UTC)


def write(path: Path, days: float) -> Path:
    """A file whose last change, and that of its folders, is some days ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    age(path, days)
    return path


def age(path: Path, days: float) -> None:
    moment = (NOW - timedelta(days=days)).timestamp()
    os.utime(path, (moment, moment), follow_symlinks=False)


def test_old_logs_and_the_folders_they_leave_empty_go(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    old = write(logs / "dag_id=a" / "run_id=1" / "task_id=t" / "attempt=1.log", 15)
    young = write(logs / "dag_id=a" / "run_id=2" / "task_id=t" / "attempt=1.log", 13)
    for folder in (*old.parents[:2], *young.parents[:2]):
        age(folder, 15)
    assert clean_logs(logs, NOW - timedelta(days=14)) == 1
    assert [path.name for path in (logs / "dag_id=a").iterdir()] == ["run_id=2"]
    assert young.exists()
    assert clean_logs(logs, NOW - timedelta(days=14)) == 0


def test_a_young_empty_folder_stays_for_the_task_that_made_it(tmp_path: Path) -> None:
    fresh = tmp_path / "logs" / "dag_id=a" / "run_id=3"
    fresh.mkdir(parents=True)
    age(fresh, 13)
    assert clean_logs(tmp_path / "logs", NOW - timedelta(days=14)) == 0
    assert fresh.is_dir()


def test_a_link_is_removed_and_its_target_stays(tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "elsewhere" / "data.log", 100)
    link = tmp_path / "logs" / "latest.log"
    link.parent.mkdir()
    link.symlink_to(elsewhere)
    age(link, 100)
    assert clean_logs(tmp_path / "logs", NOW - timedelta(days=14)) == 1
    assert elsewhere.exists()
