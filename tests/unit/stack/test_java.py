from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.stack.conftest import program
from upbit_elt.errors import StackError
from upbit_elt.stack import java


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    java.java_home.cache_clear()
    yield
    java.java_home.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all Java installations, empty; no Java elsewhere."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    return tmp_path / "jvm"


def install(home: Path, version: str) -> Path:
    program(home / "bin" / "java", f"echo 'openjdk version \"{version}\" 2025-04-15' >&2")
    return home


@pytest.mark.parametrize("machine", ["amd64", "arm64"])
def test_found_on_every_machine(folder: Path, machine: str) -> None:
    home = install(folder / f"java-17-openjdk-{machine}", "17.0.15")
    assert java.java_home(folder) == home


def test_the_variable_goes_first_but_not_when_too_old(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usable, old, new = folder / "java-17", folder.parent / "old", folder.parent / "new"
    install(usable, "17.0.15")
    monkeypatch.setenv("JAVA_HOME", str(install(new, "21.0.1")))
    assert java.java_home(folder) == new
    java.java_home.cache_clear()
    monkeypatch.setenv("JAVA_HOME", str(install(old, "1.8.0_292")))
    assert java.java_version(old) == 8
    assert java.java_home(folder) == usable


def test_without_a_usable_one_the_error_says_what_to_install(folder: Path) -> None:
    with pytest.raises(StackError, match="apt-get install openjdk-17-jre-headless"):
        java.java_home(folder)
    install(folder / "java-11", "11.0.2")
    with pytest.raises(StackError, match=r"java-11 is Java 11"):
        java.java_home(folder)


def test_maven_missing(folder: Path) -> None:
    with pytest.raises(StackError, match="apt-get install maven"):
        java.maven()
