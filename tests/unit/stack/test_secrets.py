from __future__ import annotations

import base64
from pathlib import Path

import pytest

from upbit_elt.errors import StackError
from upbit_elt.stack import secrets


def test_made_once_and_readable_by_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "secrets.json"
    first = secrets.load(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert secrets.load(path) == first
    assert secrets.load(tmp_path / "other.json") != first


def test_every_secret_is_its_own_and_hard_to_guess(tmp_path: Path) -> None:
    values = secrets.load(tmp_path / "secrets.json").model_dump().values()
    assert len(set(values)) == len(values)
    assert min(map(len, values)) >= 16


def test_the_fernet_key_has_airflows_form(tmp_path: Path) -> None:
    key = secrets.load(tmp_path / "secrets.json").airflow_fernet_key
    assert len(base64.urlsafe_b64decode(key)) == 32


def test_a_damaged_file_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.write_text('{"airflow_password": ')
    with pytest.raises(StackError, match="is damaged"):
        secrets.load(path)
    assert path.read_text() == '{"airflow_password": '


def test_writing_over_a_readable_file_makes_it_private(tmp_path: Path) -> None:
    path = tmp_path / "passwords.json"
    path.write_text("old")
    path.chmod(0o644)
    secrets.write_private(path, "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)
