"""A clone as Git for Windows makes it (`core.autocrlf=true`, no symbolic links) runs in containers all the same."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from upbit_elt.stack.names import REPO

WINDOWS = ("core.autocrlf=true", "core.symlinks=false", "safe.directory=*")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("windows") / "clone"
    options = [word for setting in WINDOWS for word in ("-c", setting)]
    subprocess.run(["git", *options, "clone", "--quiet", str(REPO), str(target)], check=True)
    return target


def test_every_text_file_ends_its_lines_as_linux_does(clone: Path) -> None:
    files = [path for path in clone.rglob("*") if path.is_file() and ".git" not in path.parts]
    assert {"run", "entrypoint.sh", "candle.sql", "hive-site.xml", "airflow.env"} <= {path.name for path in files}
    contents = {path: path.read_bytes() for path in files}
    assert [str(path) for path, data in contents.items() if b"\0" not in data and b"\r\n" in data] == []
    assert {path.name for path, data in contents.items() if b"\0" in data} >= {"dashboard.png"}


def test_every_script_is_read_by_its_shell(clone: Path) -> None:
    scripts = [path for path in clone.rglob("*") if path.is_file() and path.read_bytes()[:2] == b"#!"]
    scripts = [path for path in scripts if ".git" not in path.parts and b"sh" in path.read_bytes().splitlines()[0]]
    assert len(scripts) >= 12
    for script in scripts:
        first = script.read_text().splitlines()[0]
        shell = "sh" if first.endswith("/sh") else "bash"
        done = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), script
