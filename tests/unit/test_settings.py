from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from upbit_elt.errors import ConfigError
from upbit_elt.settings import REAL_ORIGIN, Settings, settings


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_a_replica_has_its_own_lake_and_databases() -> None:
    real, replica = Settings(dataset="upbit"), Settings(dataset="replica", base_url="http://127.0.0.1:8765")
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


def test_services_and_people_have_an_address_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPBIT_ELT_FLASK_URL", "http://flask:5000")
    monkeypatch.setenv("UPBIT_ELT_PAGE_URL", "")  # as before it is set, people use the address of the services
    assert Settings().page_url == "http://flask:5000"
    monkeypatch.setenv("UPBIT_ELT_PAGE_URL", "https://upbit.example.com/")
    assert (Settings().flask_url, Settings().page_url) == ("http://flask:5000", "https://upbit.example.com")


@pytest.mark.parametrize(
    "address",
    [
        "https://api.upbit.com/",
        "https://api.upbit.com/v1",
        "https://api.upbit.com/v1/",
        "https://API.Upbit.com:443",
        "https://api.upbit.com./v1",
        "HTTP://api.upbit.com:80/",
        " https://api.upbit.com ",
    ],
)
def test_the_real_exchange_is_known_however_its_address_is_written(address: str) -> None:
    assert (Settings(base_url=address).base_url, Settings(base_url=address).dataset) == (REAL_ORIGIN, "upbit")


@pytest.mark.parametrize(
    ("address", "origin", "dataset"),
    [
        ("http://replica:8765/v1", "http://replica:8765", "x_replica_8765"),
        ("https://proxy.example/upbit/v1/", "https://proxy.example/upbit", "x_proxy_example"),
        ("http://[::1]:8765", "http://[::1]:8765", "x__1_8765"),
        ("https://api.upbit.com:8443", "https://api.upbit.com:8443", "x_api_upbit_com_8443"),
        ("https://api.upbit.com.example", "https://api.upbit.com.example", "x_api_upbit_com_example"),
    ],
)
def test_the_path_of_the_api_is_no_part_of_an_exchanges_address(address: str, origin: str, dataset: str) -> None:
    here = Settings(base_url=address)
    assert (here.base_url, here.dataset) == (origin, dataset)


@pytest.mark.parametrize(
    "address",
    ["api.upbit.com", "ftp://api.upbit.com", "https://", "https://me@api.upbit.com", "https://a?b=c", "http://a:x"],
)
def test_an_invalid_address_is_an_error_that_names_the_setting(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPBIT_BASE_URL", address)
    with pytest.raises(ConfigError, match="UPBIT_BASE_URL"):
        settings()


@pytest.mark.parametrize(
    ("address", "dataset"),
    [
        ("http://127.0.0.1:8765", "upbit"),
        ("https://sg-api.upbit.com", "upbit"),
        ("https://api.upbit.com.example", "upbit"),
        ("https://api.upbit.com", "replica"),
        ("https://api.upbit.com/v1", "replay"),
        ("https://api.upbit.com", "x_127_0_0_1_8765"),
        ("https://api.upbit.com", "replica_of_mine"),
        ("https://sg-api.upbit.com", "replica"),
        ("https://sg-api.upbit.com", "x_127_0_0_1_8765"),
        ("http://127.0.0.1:8765", "mine"),
        ("http://127.0.0.1:8765", "x_sg_api_upbit_com"),
        ("https://upbit.com.example", "mine"),
    ],
)
def test_no_setting_mixes_a_replica_with_the_real_exchange(
    address: str, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPBIT_BASE_URL", address)
    monkeypatch.setenv("UPBIT_ELT_DATASET", dataset)
    with pytest.raises(ConfigError, match=f"dataset: .*{dataset}.*leave UPBIT_ELT_DATASET empty"):
        settings()


@pytest.mark.parametrize(
    ("address", "dataset"),
    [
        ("https://api.upbit.com", "mine"),
        ("https://sg-api.upbit.com", "mine"),
        ("http://127.0.0.1:8765", "replica_of_mine"),
        ("http://127.0.0.1:8765", "x_127_0_0_1_8765_2"),
    ],
)
def test_an_exchange_may_have_a_second_lake(address: str, dataset: str) -> None:
    assert Settings(base_url=address, dataset=dataset).lake_root == f"/{dataset}"


def test_a_wrong_value_is_named_with_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPBIT_ELT_FIRST_MINUTES", "5000")
    with pytest.raises(ConfigError, match=r"first_minutes: .*less than or equal to 200.*5000"):
        settings()


def test_secrets_do_not_show_in_logs() -> None:
    here = Settings(hive_password="hush", flask_token="hush-too")
    assert "hush" not in repr(here)


REPO = Path(__file__).parents[2]
README = (REPO / "README.md").read_text().partition("## Settings")[2].partition("## What was tried")[0]
BOTH, _, REST = README.partition("Of `./run` alone")
ROWS = re.findall(r"^\| (`UPBIT_[^|]*) \| ([^|]*) \|", BOTH, re.MULTILINE)
DEFAULTS = {
    name: default.strip("`")
    for names, defaults in ROWS
    for name, default in zip(re.findall(r"`(\w+)`", names), defaults.split(", "), strict=True)
}


def variable(field: str) -> str:
    """The environment variable of a setting."""
    return "UPBIT_BASE_URL" if field == "base_url" else f"UPBIT_ELT_{field.upper()}"


@pytest.mark.parametrize("field", Settings.model_fields)
def test_readme_has_every_setting_with_its_default(field: str) -> None:
    name, given = variable(field), getattr(Settings(), field)
    words = ",".join(given) if isinstance(given, tuple) else str(given)
    if name in DEFAULTS:
        assert DEFAULTS[name] in (words, "by the exchange", words.replace("localhost", "127.0.0.1"))
    else:
        assert f"`{name}`" in REST, "of ./run alone, or set by ./run and docker compose themselves"


def test_env_may_have_every_setting_that_readme_says_it_may() -> None:
    services = yaml.safe_load((REPO / "docker-compose.yml").read_text())["services"]
    passed = {**services["airflow-scheduler"]["environment"], **services["backup"]["environment"]}
    assert {name for name in DEFAULTS if not str(passed.get(name)).startswith(f"${{{name}:-")} == set()
