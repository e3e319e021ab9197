"""The shared set-up of `run` and `test`, with a Python that only writes down how it was called."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.unit.stack.conftest import program
from upbit_elt.stack.options import REPO

SETUP = REPO / "plugins" / "upbit_elt" / "stack" / "setup.sh"


class World:
    """A virtual environment that is there already, and a PATH with stand-ins."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.venv, self.lock, self.calls = (
            folder / "bin",
            folder / "venv",
            folder / "lock.txt",
            folder / "calls",
        )
        self.lock.write_text("click==8.1\n")
        program(self.bin / "id", "echo 1000")
        program(self.bin / "python3", "exit 0")
        self.packages_install(True)

    def packages_install(self, well: bool) -> None:
        script = f'echo "$*" >>{self.calls}\ncase "$*" in *"uv pip install"*) exit {0 if well else 1} ;; esac'
        program(self.venv / "bin" / "python", script)

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        script = f"set -euo pipefail; repo={REPO}; . {SETUP}; {command}"
        path = f"{self.bin}:/usr/bin:/bin"
        return subprocess.run(["bash", "-c", script], env={"PATH": path}, capture_output=True, text=True, check=False)

    def install(self) -> subprocess.CompletedProcess[str]:
        return self.run(f"install_locked {self.venv} {self.lock}")

    def installs(self) -> int:
        return self.calls.read_text().count("uv pip install")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_packages_are_installed_once_for_a_lock(world: World) -> None:
    assert [world.install().returncode, world.install().returncode] == [0, 0]
    assert world.installs() == 1
    world.lock.write_text("click==8.2\n")
    world.install()
    assert world.installs() == 2


def test_an_installation_that_was_cut_short_is_done_again(world: World) -> None:
    world.packages_install(False)
    failed = world.install()
    assert (failed.returncode, failed.stderr.count("Error: ")) == (1, 1)
    assert "is there a network?" in failed.stderr
    world.packages_install(True)
    assert world.install().returncode == 0
    assert world.installs() == 2


def test_a_failed_update_does_not_leave_the_old_stamp(world: World) -> None:
    world.install()
    old = world.lock.read_text()
    world.lock.write_text("click==8.2\n")
    world.packages_install(False)
    world.install()
    world.lock.write_text(old)
    world.packages_install(True)
    world.install()
    assert world.installs() == 3


def test_without_root_the_missing_packages_are_named_in_one_line(world: World) -> None:
    done = world.run("need_packages openjdk-17-jre-headless maven")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "apt-get install openjdk-17-jre-headless maven" in line


def test_maven_is_needed_only_while_jars_are_missing(world: World, tmp_path: Path) -> None:
    hidden = f"command() {{ [ $2 != mvn ] && builtin command $@; }}; need_java {tmp_path}/jars"
    assert "maven" in world.run(hidden).stderr
    for name in ("hadoop", "hive"):
        (tmp_path / "jars" / name).mkdir(parents=True)
        (tmp_path / "jars" / name / ".stamp").touch()
    assert world.run(hidden).returncode == 0
