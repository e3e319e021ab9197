from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.unit.stack.conftest import program
from upbit_elt.errors import StackError
from upbit_elt.stack import jars

COPIES = 'for a in "$@"; do case $a in -DoutputDirectory=*) mkdir -p "${a#*=}"; touch "${a#*=}/one.jar";; esac; done'


@pytest.fixture
def mvn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Maven that copies one jar, and counts its calls in `calls`."""
    calls = tmp_path / "calls"
    path = program(tmp_path / "bin" / "mvn", f"echo call >>{calls}\n{COPIES}")
    monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")
    return path


def calls(tmp_path: Path) -> int:
    log = tmp_path / "calls"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_both_sets_are_fetched_once(tmp_path: Path, mvn: Path) -> None:
    folder = tmp_path / "jars"
    assert jars.missing(folder) == ["hadoop", "hive"]
    jars.fetch(folder)
    jars.fetch(folder)
    assert calls(tmp_path) == 2
    assert jars.missing(folder) == []
    assert (folder / "hive" / "one.jar").exists()


def test_a_set_that_was_cut_short_or_has_another_pom_is_fetched_again(tmp_path: Path, mvn: Path) -> None:
    folder = tmp_path / "jars"
    (folder / "hadoop.new").mkdir(parents=True)
    (folder / "hadoop.new" / "half.jar").touch()
    jars.fetch(folder)
    assert [path.name for path in (folder / "hadoop").glob("*.jar")] == ["one.jar"]
    (folder / "hive" / ".stamp").write_text("of an older pom")
    assert jars.missing(folder) == ["hive"]


def test_mavens_own_words_are_in_the_error_and_nothing_counts_as_fetched(tmp_path: Path, mvn: Path) -> None:
    program(mvn, 'echo "[ERROR] Could not transfer artifact x:y:1"; exit 1')
    with pytest.raises(StackError, match=r"Could not transfer artifact x:y:1"):
        jars.fetch(tmp_path / "jars")
    assert jars.missing(tmp_path / "jars") == ["hadoop", "hive"]


def test_by_maven_too_a_proxy_is_used_and_its_password_is_on_no_command_line(
    tmp_path: Path, mvn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = f'echo "$*" >>{tmp_path}/argv; for a in "$@"; do case $a in /dev/fd/*) cat $a >{tmp_path}/xml;; esac; done'
    program(mvn, f"{keep}\n{COPIES}")
    monkeypatch.setenv("HTTPS_PROXY", "http://ann:s%40c<r&t@proxy.corp:3128/")
    monkeypatch.setenv("no_proxy", "localhost,.corp")
    jars.fetch(tmp_path / "jars")
    argv = (tmp_path / "argv").read_text()
    assert "--strict-checksums" in argv
    assert not any(word in argv for word in ("s%40c", "s@c", "proxy.corp"))
    proxies = ElementTree.parse(tmp_path / "xml").findall("proxies/proxy")  # noqa: S314 - our own
    settings = [{part.tag: part.text for part in one} for one in proxies]
    assert settings == [
        {
            "id": "https",
            "active": "true",
            "protocol": "https",
            "host": "proxy.corp",
            "port": "3128",
            "username": "ann",
            "password": "s@c<r&t",
            "nonProxyHosts": "localhost|*.localhost|corp|*.corp",
        }
    ]
