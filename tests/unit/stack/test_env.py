"""`./run env` as its user sees it."""

from __future__ import annotations

import base64
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.stack.conftest import program
from upbit_elt.stack.names import REPO


def env(file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(REPO / "docker" / "env.sh"), str(file), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def read(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


def secrets(file: Path) -> dict[str, str]:
    return {k: v for k, v in read(file).items() if k.endswith(("PASSWORD", "SECRET", "KEY", "TOKEN"))}


def test_every_file_has_secrets_of_its_own_that_only_its_user_reads(tmp_path: Path) -> None:
    files = [tmp_path / "one", tmp_path / "two"]
    for file in files:
        assert env(file).returncode == 0
        assert file.stat().st_mode & 0o777 == 0o600
    values = [value for file in files for value in secrets(file).values()]
    assert len(values) == len(set(values)) == 22
    assert all(len(value) == (44 if name == "AIRFLOW_FERNET_KEY" else 64) for name, value in secrets(files[0]).items())
    assert not any(character in value for value in values for character in "/+ ")  # they stand in URLs
    assert len(base64.urlsafe_b64decode(secrets(files[0])["AIRFLOW_FERNET_KEY"])) == 32


def test_backups_are_switched_on_by_a_folder_and_off_again(tmp_path: Path) -> None:
    file, to = tmp_path / ".env", tmp_path / "to"
    assert "daily backups: none" in env(file, "--exchange", "replica").stdout
    assert "backup" not in read(file)["COMPOSE_PROFILES"]
    for options in (("--backup", str(to)), ()):
        assert f"daily backups: {to}" in env(file, *options).stdout
        assert read(file)["COMPOSE_PROFILES"] == "replica,backup"
        assert read(file)["BACKUP_FOLDER"] == str(to)
        assert to.is_dir()
    env(file, "--backup", "none")
    assert read(file)["COMPOSE_PROFILES"] == "replica"
    assert "BACKUP_FOLDER" not in read(file)


def test_secrets_and_own_lines_stay(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    env(file)
    before = secrets(file)
    with file.open("a") as more:
        more.write("FLASK_PORT=5001\n")
    assert "0 new secrets" in env(file, "--exchange", "replica").stdout
    assert secrets(file) == before
    assert read(file)["FLASK_PORT"] == "5001"


def test_a_secret_that_is_new_in_a_release_is_added(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("HIVE_PASSWORD=mine\n")
    file.chmod(0o644)
    assert "10 new secrets" in env(file).stdout
    assert read(file)["HIVE_PASSWORD"] == "mine"
    assert file.stat().st_mode & 0o777 == 0o600


def test_exchange_and_executor_are_chosen_and_kept(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    env(file, "--exchange", "replica")
    env(file, "--executor", "celery")
    assert read(file)["COMPOSE_PROFILES"] == "replica,celery"
    assert (read(file)["UPBIT_ELT_DATASET"], read(file)["AIRFLOW_EXECUTOR"]) == ("replica", "CeleryExecutor")
    env(file, "--exchange", "upbit")
    assert read(file)["COMPOSE_PROFILES"] == "celery"
    assert not {"UPBIT_BASE_URL", "UPBIT_ELT_DATASET"} & set(read(file))  # both have Upbit as their default


def test_wrong_options_say_what_there_is(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    for options, words in (
        (["--exchange", "binance"], "--exchange is upbit or replica, not 'binance'"),
        (["--executor"], "--executor is local or celery"),
        (["--what"], "there is: --exchange upbit|replica, --executor local|celery"),
    ):
        done = env(file, *options)
        assert done.returncode == 2
        assert words in done.stderr
    assert not file.exists()


def test_env_names_a_proxy_that_docker_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.corp:3128")
    assert "this shell uses a proxy, but containers do not" in env(tmp_path / ".env").stdout
    (tmp_path / "config.json").write_text('{"proxies": {"default": {"httpsProxy": "http://proxy.corp:3128"}}}')
    assert "this shell uses a proxy" not in env(tmp_path / ".env").stdout


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program has."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_taken_port_is_named_with_its_setting(tmp_path: Path, taken: int) -> None:
    file = tmp_path / ".env"
    file.write_text(f"FLASK_PORT={taken}\nAIRFLOW_PORT={taken}\n")
    done = env(file)
    for setting in ("FLASK_PORT", "AIRFLOW_PORT"):
        assert f"port {taken} is taken by another program: end it, or set {setting} in {file}" in done.stdout
    assert done.returncode == 0


def test_a_port_of_the_deployment_itself_is_not_taken(
    tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin" / "docker", f'case "$*" in *publish={taken}*project=upbit-elt*) echo 7 ;; esac')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    file = tmp_path / ".env"
    file.write_text(f"FLASK_PORT={taken}\n")
    assert f"port {taken} " not in env(file).stdout


def test_every_published_port_has_a_setting_that_is_looked_at() -> None:
    compose = (REPO / "docker-compose.yml").read_text()
    published = re.findall(r'ports: \["([^"]*)"', compose)
    assert len(published) >= 4
    assert all(re.match(r"\$\{BIND_ADDRESS:-127\.0\.0\.1\}:\$\{[A-Z]+_PORT:-\d+\}:", one) for one in published)


def test_profiles_that_were_added_stay(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    env(file, "--exchange", "replica")
    file.write_text(file.read_text().replace("COMPOSE_PROFILES=replica", "COMPOSE_PROFILES=webhdfs,replica,yarn"))
    env(file, "--executor", "celery")
    assert read(file)["COMPOSE_PROFILES"] == "webhdfs,yarn,replica,celery"
    env(file, "--exchange", "upbit", "--executor", "local")
    assert read(file)["COMPOSE_PROFILES"] == "webhdfs,yarn"


def test_a_port_that_is_not_published_may_be_taken(tmp_path: Path, taken: int) -> None:
    file = tmp_path / ".env"
    file.write_text(f"WEBHDFS_PORT={taken}\nYARN_PORT={taken}\n")
    assert f"port {taken} is taken" not in env(file).stdout
    with file.open("a") as more:
        more.write("COMPOSE_PROFILES=yarn\n")
    said = env(file).stdout
    assert "YARN_PORT" in said
    assert "WEBHDFS_PORT" not in said
