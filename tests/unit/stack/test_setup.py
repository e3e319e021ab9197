"""The shared set-up of `run` and `test`, with a Python that only writes down how it was called."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.unit.stack.conftest import program
from upbit_elt.stack.names import REPO

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
        program(self.bin / "df", "printf 'h\\n/dev/a 90000 1 20000 1%% /\\n'")  # whatever this machine has
        self.packages_install(True)

    def packages_install(self, well: bool) -> None:
        script = f'echo "$*" >>{self.calls}\ncase "$*" in *"uv pip install"*) exit {0 if well else 1} ;; esac'
        program(self.venv / "bin" / "python", script)

    def run(self, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        script = f"set -euo pipefail; repo={REPO}; . {SETUP}; {command}"
        path = f"{self.bin}:/usr/bin:/bin"
        return subprocess.run(
            ["bash", "-c", script], env={"PATH": path} | variables, capture_output=True, text=True, check=False
        )

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


def test_without_root_all_that_a_start_misses_is_one_line(world: World, tmp_path: Path) -> None:
    program(world.bin / "python3", 'case "$*" in *ensurepip*) exit 1 ;; esac')
    hidden = "command() { [ $2 != mvn ] && builtin command $@; }"
    done = world.run(f"{hidden}; repo={tmp_path}; prepare_start {tmp_path}/jars")
    (line,) = done.stderr.splitlines()
    assert (done.returncode, "python3-venv" in line, "maven" in line) == (1, True, True)


def python(world: World, name: str, version: str) -> None:
    """The Python of these tests under another version, which makes environments at once."""
    code = f"import sys; sys.version_info = ({version.replace('.', ', ')}, 'final', 0); exec(sys.argv[1])"
    lines = (
        f"echo {name} $* >>{world.calls}",
        f'case "$*" in *"-m venv --clear"*) mkdir -p {world.venv}; cp -r {world.bin}/environment/. {world.venv} ;;',
        f"  *python_version*) echo {version} ;;",
        f'  -c*) exec {sys.executable} -c "{code}" "$2" ;; esac',
    )
    program(world.bin / name, "\n".join(lines))


@pytest.fixture
def odd(world: World) -> World:
    """A machine whose python3 is newer than the locked packages know, with no other."""
    world.venv.rename(world.bin / "environment")
    for minor in range(11, 15):
        program(world.bin / f"python3.{minor}", "exit 127")
    python(world, "python3", "3.15.2")
    return world


def test_a_python_that_is_too_new_is_passed_over_for_a_named_one(odd: World) -> None:
    python(odd, "python3.12", "3.12.7")
    done = odd.install()
    assert done.returncode == 0, done.stderr
    assert f"python3.12 -m venv --clear {odd.venv}" in odd.calls.read_text()


def test_without_another_one_line_says_which_versions_work(odd: World) -> None:
    done = odd.install()
    (line,) = done.stderr.splitlines()
    assert (done.returncode, "python3 is Python 3.15.2" in line, "3.11 to 3.14" in line) == (1, True, True)
    assert not odd.venv.exists()


def test_an_environment_that_a_python_too_new_began_is_made_again(odd: World) -> None:
    python(odd, "python3.13", "3.13.1")
    program(odd.venv / "bin" / "python", 'case "$*" in *version_info*) exit 1 ;; esac')
    assert odd.install().returncode == 0
    assert f"python3.13 -m venv --clear {odd.venv}" in odd.calls.read_text()


def test_compiled_files_are_kept(world: World) -> None:
    """Each start and each task took seconds longer on machines whose environment says that nothing may be kept."""
    assert "PYTHONDONTWRITEBYTECODE" not in world.run("env", PYTHONDONTWRITEBYTECODE="1").stdout


def test_setup_and_pyproject_agree_on_the_versions(world: World) -> None:
    code = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["requires-python"]
    assert world.run('echo ">=3.$oldest_python,<3.$((newest_python + 1))"').stdout.strip() == code


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone gives files away")
def test_an_environment_of_another_user_is_named(world: World) -> None:
    os.chown(world.venv, 12345, 12345)
    done = world.install()
    (line,) = done.stderr.splitlines()
    assert (done.returncode, f"{world.venv} belongs to another user" in line, "sudo chown" in line) == (1, True, True)
