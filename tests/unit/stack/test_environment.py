from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from upbit_elt.settings import Settings
from upbit_elt.stack import environment, plan
from upbit_elt.stack.choice import Choice
from upbit_elt.stack.names import REPO
from upbit_elt.stack.options import StackSettings


def read_back(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings as a service reads them from these variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_a_service_reads_the_settings_that_were_meant(stack: StackSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    meant = environment.settings_for(
        stack, dataset="replica", base_url=stack.replica_url, quotes=("KRW", "BTC"), flask_token="token", history_days=3
    )
    assert read_back(environment.application(meant), monkeypatch) == meant


def test_replica_replay_and_upbit_never_share_a_lake(stack: StackSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UPBIT_BASE_URL", raising=False)
    chosen = [Choice("upbit", None), Choice("replica", None), Choice("replica", Path("/candles"))]
    plans = [plan.make(stack, choice) for choice in chosen]
    assert [one.settings.lake_root for one in plans] == ["", "/replica", "/replay"]
    assert len({one.settings.database for one in plans}) == 3
    assert [one.settings.base_url == stack.replica_url for one in plans] == [False, True, True]
    assert ["replica" in {service.name for service in one.services} for one in plans] == [False, True, True]


def test_quotes_of_the_user_reach_the_services(stack: StackSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPBIT_ELT_QUOTES", "krw, usdt")
    assert plan.make(stack, Choice("replica", None)).variables["UPBIT_ELT_QUOTES"] == "KRW,USDT"


def test_backups_are_made_where_a_folder_is_given(stack: StackSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "backup" not in {service.name for service in plan.make(stack, Choice("replica", None)).services}
    monkeypatch.setenv("UPBIT_ELT_BACKUP_FOLDER", "to")
    one = plan.make(stack, Choice("replica", None))
    assert "backup" in {service.name for service in one.services}
    assert one.variables["UPBIT_ELT_BACKUP_FOLDER"] == str(Path("to").absolute())


def test_another_setting_makes_another_plan_and_the_same_makes_the_same(
    stack: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = plan.make(stack, Choice("replica", None))
    assert plan.make(stack, Choice("replica", None)).digest == first.digest
    monkeypatch.setenv("UPBIT_ELT_HISTORY_DAYS", "1")
    assert plan.make(stack, Choice("replica", None)).digest != first.digest


def test_another_release_is_another_plan(stack: StackSettings) -> None:
    """After `git pull`, ./run would otherwise leave services running that have the old code loaded."""
    first = plan.make(stack, Choice("replica", None))
    assert first.code == plan.code_in(REPO)
    assert replace(first, code="of another release").digest != first.digest


def test_the_code_is_what_services_read_when_they_start(tmp_path: Path) -> None:
    hashes = []
    for name in ("plugins/upbit_elt/a.py", "hive/ddl/candle.sql", "requirements.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one")
        hashes.append(plan.code_in(tmp_path))
    (tmp_path / "requirements.txt").write_text("two")
    hashes.append(plan.code_in(tmp_path))
    assert len(set(hashes)) == 4
    for name in ("plugins/__pycache__/a.pyc", "plugins/.ruff_cache/a", "docs/a.md", "dags/a.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert plan.code_in(tmp_path) == hashes[-1]


def test_no_secret_is_on_a_command_line_or_in_supervisors_file(stack: StackSettings) -> None:
    one = plan.make(stack, Choice("replica", None))
    assert not any(secret in one.configuration for secret in one.secrets.model_dump().values())
