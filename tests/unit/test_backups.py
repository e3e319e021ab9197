"""Backups in a folder appear whole or not at all, old ones go, and a message says when none comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.support.clock import ManualClock, utc
from upbit_elt import backups
from upbit_elt.errors import BackupFailed, LakeUnavailable

NOW = utc(4, 0)


def text(words: str) -> Callable[[BinaryIO], None]:
    def write(file: BinaryIO) -> None:
        file.write(words.encode())

    return write


def made(folder: Path, now: datetime = NOW) -> Path:
    return backups.make(folder, {"lake.tar": text("candles"), "files/secrets.json": text("{}")}, now)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_a_backup_has_every_part_with_its_checksum_and_nobody_else_reads_it(tmp_path: Path) -> None:
    whole = made(tmp_path / "to")
    assert whole.name == "2026-11-24T040000Z"
    assert (whole / "files" / "secrets.json").read_text() == "{}"
    assert whole.stat().st_mode & 0o777 == 0o700
    assert (whole / "lake.tar").stat().st_mode & 0o777 == 0o600
    backups.check(whole)
    subprocess.run(["sha256sum", "--check", "--quiet", backups.SUMS], cwd=whole, check=True)


@pytest.mark.parametrize("harm", [lambda file: file.write_text("candleS"), Path.unlink])
def test_a_file_that_differs_from_its_checksum_is_named(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    whole = made(tmp_path)
    harm(whole / "lake.tar")
    with pytest.raises(BackupFailed, match=r"not a complete backup: .*lake\.tar"):
        backups.check(whole)


def test_a_part_that_fails_leaves_no_backup_and_the_next_one_clears_up(tmp_path: Path) -> None:
    def fail(file: BinaryIO) -> None:
        file.write(b"half")
        raise LakeUnavailable("HDFS does not answer")

    with pytest.raises(LakeUnavailable):
        backups.make(tmp_path, {"lake.tar": fail}, NOW)
    assert backups.made(tmp_path) == []
    later = made(tmp_path, NOW + timedelta(hours=1))
    assert names(tmp_path) == [later.name]


KILLED = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from upbit_elt import backups

def write(file):
    file.write(b"half")
    file.flush()
    print("at it", flush=True)
    sys.stdin.read()

backups.make(Path(sys.argv[1]), {"lake.tar": write}, datetime.now(UTC))
"""


def test_a_killed_backup_is_not_listed_and_does_not_block_the_next(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    variables = {"PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "at it\n"
        with pytest.raises(BackupFailed, match="is at work: wait for it"):
            made(tmp_path)
        os.kill(child.pid, signal.SIGKILL)
    (left,) = names(tmp_path)
    assert left.endswith(".part")
    assert backups.made(tmp_path) == []
    next_one = made(tmp_path)
    assert names(tmp_path) == [next_one.name]


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BackupFailed, match="file"):
        made(tmp_path / "file")


@pytest.mark.parametrize(
    ("keep", "days", "stay"),
    [(7, 30, [0, 1, 2, 10]), (2, 30, [0, 1]), (7, 1, [0, 1]), (1, 1, [0])],
)
def test_the_newest_stay_by_number_and_age(tmp_path: Path, keep: int, days: int, stay: list[int]) -> None:
    for age in (0, 1, 2, 10, 31):
        made(tmp_path, NOW - timedelta(days=age))
    (tmp_path / "of-somebody-else").mkdir()
    backups.prune(tmp_path, keep, days, NOW)
    assert [moment for moment, _ in backups.made(tmp_path)] == [NOW - timedelta(days=age) for age in stay]
    backups.prune(tmp_path, keep, days, NOW + timedelta(days=400))
    assert len(backups.made(tmp_path)) == 1, "the newest stays, however old"
    assert (tmp_path / "of-somebody-else").exists()


class Schedule:
    """A daily backup into a folder, on a clock that is turned by hand; `error` is what the next ones fail with."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state, self.clock = folder / "to", folder / "state", ManualClock(NOW)
        self.error: Exception | None = None
        self.daily = self.started()

    def started(self) -> backups.Daily:
        return backups.Daily(self.folder, self.state, self.once, self.clock)

    def once(self) -> Path:
        if self.error:
            raise self.error
        return made(self.folder, self.clock.now())

    def after(self, **time: float) -> tuple[int, str]:
        """How many backups there are so much later, and what is wrong."""
        self.clock.sleep(timedelta(**time).total_seconds())
        self.daily.look()
        return len(backups.made(self.folder)), backups.trouble(self.state, self.clock.now())


def test_a_backup_is_made_a_day_after_the_last(tmp_path: Path) -> None:
    schedule = Schedule(tmp_path)
    assert schedule.after() == (1, "")
    assert schedule.after(hours=23, minutes=59) == (1, "")
    schedule.daily = schedule.started()
    assert schedule.after() == (1, ""), "a restart makes none"
    assert schedule.after(minutes=1) == (2, "")


def test_a_backup_that_fails_is_reported_and_tried_again_in_an_hour(tmp_path: Path) -> None:
    schedule = Schedule(tmp_path)
    schedule.error = LakeUnavailable("HDFS does not answer")
    assert schedule.after() == (0, "the last backup failed: HDFS does not answer")
    schedule.error = None
    assert schedule.after(minutes=59) == (0, "the last backup failed: HDFS does not answer")
    assert schedule.after(minutes=1) == (1, "")


def test_a_backup_service_that_is_away_is_reported(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert "has not started" in backups.trouble(state, NOW)
    assert "has not started" in backups.failing(state)
    schedule = Schedule(tmp_path)
    assert backups.trouble(state, NOW + timedelta(hours=27)) == "no backup was made for a day"
    schedule.after()
    assert backups.trouble(state, NOW + timedelta(hours=26)) == ""
    assert backups.trouble(state, NOW + timedelta(hours=27)) == "the newest backup is of 2026-11-24T04:00Z"
    assert backups.failing(state) == "", "it may just be made"
