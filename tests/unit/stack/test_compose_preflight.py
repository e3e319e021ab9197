"""What docker compose checks before anything starts: docker/preflight.sh."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.unit.stack.conftest import program
from upbit_elt import release
from upbit_elt.stack.names import REPO


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """Volumes of a first start."""
    for name in ("name", "postgres"):
        (tmp_path / name).mkdir()
    return tmp_path


def preflight(volumes: Path, memory: int = 1, disk: int = 1) -> tuple[int, list[str]]:
    """Its exit code and its lines."""
    variables = {"VOLUMES": str(volumes), "MIN_MEMORY_MB": str(memory), "MIN_DISK_MB": str(disk)}
    done = subprocess.run(
        ["bash", str(REPO / "docker" / "preflight.sh")],
        env={"PATH": f"{volumes}/bin:/usr/bin:/bin"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr.splitlines()


def test_a_machine_that_is_fit_passes(volumes: Path) -> None:
    assert preflight(volumes) == (0, [])


def test_volumes_that_this_release_wrote_pass(volumes: Path) -> None:
    release.enter(volumes / "state")
    assert preflight(volumes) == (0, [])


def test_each_trouble_is_one_line_that_says_what_to_do(volumes: Path) -> None:
    (volumes / "postgres" / "PG_VERSION").write_text("16\n")
    current = volumes / "name" / "hdfs" / "name" / "current"
    current.mkdir(parents=True)
    (current / "VERSION").write_text("layoutVersion=-99\n")
    (volumes / "state").mkdir()
    (volumes / "state" / "release.json").write_text('{"release": "9.0.0", "layout": 1000}\n')
    code, lines = preflight(volumes, memory=10**9, disk=10**9)
    words = (
        "MIN_MEMORY_MB in .env",
        "MIN_DISK_MB in .env",
        "PostgreSQL 16, this is 17",
        "HDFS layout -99",
        "9.0.0 has",
    )
    assert (code, len(lines)) == (1, 5)
    assert all(word in line for word, line in zip(words, lines, strict=True))


@pytest.mark.parametrize("kind", ["nfs", "smb2", "v9fs", "fuseblk"])
def test_volumes_on_a_network_or_windows_drive_are_refused(volumes: Path, kind: str) -> None:
    program(volumes / "bin" / "stat", f"echo {kind}")
    code, (line,) = preflight(volumes)
    assert (code, f"network or Windows drive ({kind})" in line) == (1, True)
