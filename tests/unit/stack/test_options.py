from __future__ import annotations

from pathlib import Path

import pytest

from upbit_elt.errors import ConfigError
from upbit_elt.stack.names import PORTS, REPO
from upbit_elt.stack.options import StackSettings, load


def test_without_settings_everything_is_under_the_repository(stack: StackSettings) -> None:
    plain = load()
    assert plain.data_dir == REPO / ".data"
    assert plain.jars == REPO / ".data" / "jars"
    assert (plain.airflow_url, plain.flask_url) == ("http://127.0.0.1:8080", "http://127.0.0.1:5000")


def test_environment_sets_and_the_command_line_goes_first(
    monkeypatch: pytest.MonkeyPatch, stack: StackSettings
) -> None:
    monkeypatch.setenv("UPBIT_RUN_EXCHANGE", "upbit")
    monkeypatch.setenv("UPBIT_RUN_FLASK_PORT", "5001")
    assert load(exchange="replica").exchange == "replica"
    assert load(exchange=None).exchange == "upbit"
    assert load().flask_url.endswith(":5001")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HIVE_PORT", "ten", "UPBIT_RUN_HIVE_PORT: "),
        ("HIVE_PORT", "70000", "UPBIT_RUN_HIVE_PORT: "),
        ("PORT_OFFSET", "ten", "UPBIT_RUN_PORT_OFFSET: "),
        ("PORT_OFFSET", "30000", "UPBIT_RUN_PORT_OFFSET: "),
        ("HIVE_PORT", "8020", "one port for two services: 8020"),
        ("EXCHANGE", "binance", "UPBIT_RUN_EXCHANGE: "),
        ("DATA_DIR", "/tmp/with space", "UPBIT_RUN_DATA_DIR: the path may not contain ' '"),
        ("DATA_DIR", "/tmp/" + "long" * 30, "too long for a UNIX socket"),
        ("REPLAY", "/nowhere", "UPBIT_RUN_REPLAY: no folder with *.parquet files: /nowhere"),
    ],
)
def test_wrong_settings_are_named(
    monkeypatch: pytest.MonkeyPatch, stack: StackSettings, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(f"UPBIT_RUN_{name}", value)
    with pytest.raises(ConfigError) as caught:
        load()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_offset_shifts_every_port_that_is_not_set(monkeypatch: pytest.MonkeyPatch, stack: StackSettings) -> None:
    monkeypatch.setenv("UPBIT_RUN_PORT_OFFSET", "100")
    monkeypatch.setenv("UPBIT_RUN_HIVE_PORT", "12345")
    assert load().ports == {name: port + 100 for name, port in PORTS.items()} | {"hive_port": 12345}


def test_a_replay_cannot_be_the_real_exchange(tmp_path: Path, stack: StackSettings) -> None:
    (tmp_path / "one.parquet").touch()
    assert load(exchange="replica", replay=tmp_path).replay == tmp_path
    with pytest.raises(ConfigError, match="a replay needs the exchange `replica`"):
        load(exchange="upbit", replay=tmp_path)
