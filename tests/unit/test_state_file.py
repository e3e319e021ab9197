"""What is wrong with a file of the state folder is known by SQLite's own code; a damaged one is begun empty."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.disk import full_disk
from tests.support.state import in_use
from upbit_elt.errors import StateBusy, StateUnavailable
from upbit_elt.state_file import opened

SCHEMA = "CREATE TABLE IF NOT EXISTS number (one INTEGER); CREATE INDEX IF NOT EXISTS ones ON number (one);"
PAGE = 4096


def add(file: Path, count: int = 1, first: str = "") -> None:
    with opened(file, SCHEMA, patience=0.02) as connection, connection:
        connection.execute(first)
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO number VALUES (?)", ((one,) for one in range(count)))


def numbers(file: Path) -> int:
    with opened(file, SCHEMA) as connection:
        return len(connection.execute("SELECT * FROM number NOT INDEXED").fetchall())


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("PRAGMA max_page_count = 3", "cannot be written: the disk is full"),
        ("PRAGMA query_only = 1", "cannot be written: it is another user's, or its disk is read-only"),
        ("SELECT * FROM nowhere", "cannot be used: no such table: nowhere"),
    ],
)
def test_the_words_follow_sqlites_code(tmp_path: Path, statement: str, why: str) -> None:
    file = tmp_path / "state" / "numbers.db"
    add(file)
    with pytest.raises(StateUnavailable, match=f"numbers.db {why}") as raised:
        add(file, 5000, statement)
    assert not isinstance(raised.value, StateBusy)
    assert numbers(file) == 1


def test_a_file_in_use_is_not_called_a_full_disk(tmp_path: Path) -> None:
    file = tmp_path / "numbers.db"
    add(file)
    with in_use(file), pytest.raises(StateBusy, match=r"in use by other processes for 0 s .*: the machine is busy"):
        add(file)
    add(file)
    assert numbers(file) == 2


def test_a_disk_that_takes_nothing_and_a_folder_in_the_way(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(StateUnavailable, match=r"cannot be written: the disk .*full \("):
        add(tmp_path / "numbers.db")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StateUnavailable, match="its folder is gone or another user's"):
        add(tmp_path / "folder.db")
    (tmp_path / "file").touch()
    with pytest.raises(StateUnavailable, match="file cannot be made"):
        add(tmp_path / "file" / "numbers.db")


def test_a_file_whose_rows_are_damaged_is_replaced_by_the_next_try(tmp_path: Path) -> None:
    file = tmp_path / "numbers.db"
    add(file, 5000)
    whole = file.read_bytes()
    file.write_bytes(whole[:PAGE] + b"zeros after a loss of power".ljust(len(whole) - PAGE, b"\xff"))
    with pytest.raises(StateUnavailable, match="was damaged"):
        numbers(file)
    assert numbers(file) == 0
