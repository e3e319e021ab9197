"""What goes wrong before anything starts gets one line that says what to do."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.compose import Deployment
from upbit_elt import __version__

New = Callable[[], Deployment]
pytestmark = pytest.mark.timeout(3600)


def test_without_secrets_compose_stops(tmp_path: Path) -> None:
    bare = Deployment("upbit-test-bare", tmp_path / ".env")
    bare.env_file.touch()
    assert "run ./run env first" in bare.compose("config", "--quiet", check=False)


@pytest.mark.parametrize(
    ("setting", "words"),
    [("MIN_MEMORY_MB=99999999", "99999999 are needed: give it more"), ("MIN_DISK_MB=99999999", "make room")],
)
def test_too_little_memory_or_disk(new_deployment: New, setting: str, words: str) -> None:
    deployment = new_deployment()
    with deployment.env_file.open("a") as file:
        file.write(f"{setting}\n")
    assert words in preflight(deployment)


def test_a_volume_of_another_version(new_deployment: New) -> None:
    deployment = new_deployment()
    deployment.compose("create", "preflight")
    versions = "echo 16 >/volumes/postgres/PG_VERSION && mkdir -p /volumes/name/hdfs/name/current && \
        echo layoutVersion=-60 >/volumes/name/hdfs/name/current/VERSION"
    volumes = [f"--volume={deployment.project}_{a}:/volumes/{b}" for a, b in (("postgres",) * 2, ("namenode", "name"))]
    image = ["--user", "root", "--entrypoint", "bash", f"upbit-elt/hadoop:{__version__}"]
    deployment.run("docker", "run", "--rm", *volumes, *image, "-c", versions)
    said = preflight(deployment)
    assert "was written by PostgreSQL 16, this is 17" in said
    assert "has HDFS layout -60" in said
    kept = ["docker", "run", "--rm", *volumes, *image, "-c", "cat /volumes/postgres/PG_VERSION"]
    assert deployment.run(*kept).strip() == "16"


def test_a_port_in_use(new_deployment: New) -> None:
    deployment = new_deployment()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with deployment.env_file.open("a") as file:
            file.write(f"WEBHDFS_PORT={port}\n")
        said = deployment.compose("--profile", "webhdfs", "up", "--detach", "--no-deps", "webhdfs", check=False)
    assert f"127.0.0.1:{port}" in said
    assert "already in use" in said or "already allocated" in said


def preflight(deployment: Deployment) -> str:
    """What the preflight says; it must fail."""
    said = deployment.compose(
        "up", "--abort-on-container-exit", "--exit-code-from", "preflight", "preflight", check=False
    )
    assert "exited with code 1" in said or "preflight:" in said
    return said
