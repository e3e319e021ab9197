from __future__ import annotations

from collections.abc import Iterator

import pytest

from upbit_elt.errors import ConfigError
from upbit_elt.settings import Settings, settings


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_a_replica_has_its_own_lake_and_databases() -> None:
    real, replica = Settings(dataset="upbit"), Settings(dataset="replica")
    assert (real.lake_root, real.database, real.bi_database) == ("", "upbit_lake", "upbit_bi")
    assert (replica.lake_root, replica.database) == ("/replica", "upbit_lake_replica")
    assert real.bi_database != replica.bi_database


def test_another_exchange_gets_a_lake_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings().dataset == "upbit"
    settings.cache_clear()
    monkeypatch.setenv("UPBIT_BASE_URL", "https://sg-api.upbit.com")
    monkeypatch.setenv("UPBIT_ELT_DATASET", "")  # as docker compose passes what is not set
    assert settings().lake_root == "/x_sg_api_upbit_com"
    settings.cache_clear()
    monkeypatch.setenv("UPBIT_ELT_DATASET", "mine")
    assert settings().lake_root == "/mine"


def test_the_environment_sets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPBIT_BASE_URL", "https://sg-api.upbit.com")
    monkeypatch.setenv("UPBIT_ELT_QUOTES", "krw, btc")
    assert settings().base_url == "https://sg-api.upbit.com"
    assert settings().quotes == ("KRW", "BTC")


def test_a_wrong_value_is_named_with_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPBIT_ELT_FIRST_MINUTES", "5000")
    with pytest.raises(ConfigError, match=r"first_minutes: .*less than or equal to 200.*5000"):
        settings()


def test_secrets_do_not_show_in_logs() -> None:
    here = Settings(hive_password="hush", flask_token="hush-too")
    assert "hush" not in repr(here)
