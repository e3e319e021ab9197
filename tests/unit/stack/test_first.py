"""`./run` on a machine where nothing is set up: what is in the way is said before anything is downloaded."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ports import stack_ports
from tests.unit.stack.conftest import program
from upbit_elt.errors import ConfigError
from upbit_elt.stack import first, options, preflight
from upbit_elt.stack.names import PORTS, REPO, variable
from upbit_elt.stack.options import StackSettings

NO_PORTS = dict.fromkeys(PORTS, 0)  # the system gives a free one for it


class Fresh:
    """A clone without packages, and a Python that makes no environment: a download would begin with that."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "clone"
        self.folder.mkdir()
        (self.folder / "run").write_text((REPO / "run").read_text())
        for name in ("plugins", "docker", "requirements.txt", "requirements-uv.txt"):
            (self.folder / name).symlink_to(REPO / name)
        own = f'case "$*" in *"-m venv"*) echo began to download >&2; exit 1 ;; esac; exec {sys.executable} "$@"'
        for name in ("python3", "python3.14"):
            program(folder / "bin" / name, own)
        self.ports = stack_ports()
        settings = {variable(name): str(port) for name, port in self.ports.items()}
        self.environment = settings | {
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            variable("data_dir"): str(folder / "data"),
            variable("jars_dir"): str(folder / "jars"),
            variable("min_free_gb"): "0",
            variable("min_memory_gb"): "0",
        }
        for name in ("hadoop", "hive"):
            (folder / "jars" / name).mkdir(parents=True)
            (folder / "jars" / name / ".stamp").touch()

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(self.folder / "run"), *arguments],
            env=self.environment | more,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def fresh(tmp_path: Path) -> Fresh:
    return Fresh(tmp_path)


def test_taken_ports_memory_disk_and_settings_stop_it_before_anything_is_downloaded(fresh: Fresh) -> None:
    with socket.create_server(("127.0.0.1", fresh.ports["flask_port"])):
        done = fresh.run(UPBIT_RUN_MIN_MEMORY_GB="1e6", UPBIT_RUN_MIN_FREE_GB="1e6")
    assert done.returncode == 1
    assert done.stderr.count("Error: ") == 3
    for words in ("1 port is taken", "GB of memory", "GB are free"):
        assert words in done.stderr
    assert "download" not in done.stderr
    wrong = fresh.run(UPBIT_RUN_HIVE_PORT="ten", UPBIT_RUN_FLASK_PORT="0")
    (line,) = wrong.stderr.splitlines()
    assert "UPBIT_RUN_HIVE_PORT is a number from 1 to 65535, not 'ten'; UPBIT_RUN_FLASK_PORT is" in line


def test_a_java_that_is_too_old_is_named_too_and_none_is_for_the_set_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))

    def said() -> str:
        settings = first.FirstSettings(tmp_path / "data", tmp_path / "jars", 0, 0, NO_PORTS)
        return "".join(first.troubles(settings, replica=False, javas=tmp_path / "jvm"))

    assert "Java" not in said()
    program(tmp_path / "jvm" / "java-11" / "bin" / "java", "echo 'openjdk version \"11.0.2\"' >&2")
    assert "java-11 is Java 11" in said()


def test_a_machine_without_obstacles_goes_on_to_the_packages(fresh: Fresh) -> None:
    assert "began to download" in fresh.run().stderr


def test_the_replicas_port_counts_when_it_is_to_run(fresh: Fresh) -> None:
    with socket.create_server(("127.0.0.1", fresh.ports["replica_port"])):
        assert "UPBIT_RUN_REPLICA_PORT" in fresh.run("--exchange", "replica").stderr
        assert "began to download" in fresh.run("--exchange", "upbit").stderr


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("--help", 0, "./run status | logs"),
        ("doctor", 0, "nothing is in the way of ./run"),
        ("status", 1, "nothing is set up here yet: ./run"),
        ("stop", 1, "nothing is set up here yet: ./run"),
    ],
)
def test_a_command_that_starts_nothing_downloads_nothing(fresh: Fresh, command: str, code: int, words: str) -> None:
    done = fresh.run(command)
    assert (done.returncode, words in done.stdout + done.stderr) == (code, True), done
    assert "download" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone gives files away")
@pytest.mark.parametrize("command", [[], ["doctor"], ["status"], ["stop"], ["passwords"]])
def test_another_users_folder_is_not_one_where_nothing_is_set_up(fresh: Fresh, command: list[str]) -> None:
    own = Path(fresh.environment[variable("data_dir")]) / "run"
    own.mkdir(parents=True)
    os.chown(own, 12345, 12345)
    done = fresh.run(*command)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, f"{own} belongs to user 12345, and you are" in line) == (1, True), done


def test_folders_on_one_disk_are_counted_together(stack: StackSettings, tmp_path: Path) -> None:
    free = preflight.free_gb(tmp_path)
    settings = first.FirstSettings(tmp_path / "data", tmp_path / "jars", max(0.0, free - 3), 0, NO_PORTS)
    (trouble,) = first.troubles(settings, replica=False, venv=tmp_path / "venv")
    assert "Python packages 9, jars 0.5" in trouble


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"PORT_OFFSET": "300"},
        {"PORT_OFFSET": "100", "HIVE_PORT": "12345"},
        {"DATA_DIR": "/tmp/x", "JARS_DIR": "/tmp/j"},
    ],
)
def test_the_first_check_reads_the_settings_as_the_stack_does(
    stack: StackSettings, monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"UPBIT_RUN_{name}", value)
    settings, full = first.read(os.environ), options.load()
    assert (settings.ports, settings.data_dir, settings.jars) == (full.ports, full.data_dir, full.jars)
    assert (settings.min_free_gb, settings.min_memory_gb) == (full.min_free_gb, full.min_memory_gb)


def test_an_offset_out_of_bounds_is_named_alone() -> None:
    with pytest.raises(ConfigError) as caught:
        first.read({"UPBIT_RUN_PORT_OFFSET": "60000"})
    assert str(caught.value) == "wrong settings: UPBIT_RUN_PORT_OFFSET is a number from 0 to 20000, not '60000'"


def test_the_first_check_needs_no_package() -> None:
    """-S: without site-packages, as on a machine where nothing is installed."""
    command = [sys.executable, "-S", "-m", "upbit_elt.stack.first"]
    given = {"PYTHONPATH": str(REPO / "plugins"), "UPBIT_RUN_HIVE_PORT": "x"}
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
    assert done.stderr.startswith("Error: wrong settings: UPBIT_RUN_HIVE_PORT")
