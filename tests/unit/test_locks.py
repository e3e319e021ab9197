"""What is downloaded is checked against a hash: every lock has them, and every installation requires them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.stack.conftest import program
from upbit_elt.stack.names import REPO

LOCKS = (
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-peers.txt",
    "requirements-uv.txt",
    "docker/hadoop/requirements.txt",
)
PINNED = re.compile(r"^([a-z0-9-]+)(?:\[[^]]*\])?==(\S+)", re.MULTILINE)


def entries(name: str) -> list[str]:
    """The entries of a lock: a requirement with its hashes."""
    lines = [line for line in (REPO / name).read_text().splitlines() if line and not line.strip().startswith("#")]
    return re.split(r"\n(?=\S)", "\n".join(lines))


@pytest.mark.parametrize("name", LOCKS)
def test_every_entry_is_one_version_with_its_hashes(name: str) -> None:
    found = entries(name)
    assert found
    assert [one for one in found if not PINNED.match(one) or "--hash=sha256:" not in one] == []


@pytest.mark.parametrize("name", ["requirements-dev.txt", "docker/hadoop/requirements.txt"])
def test_locks_agree_on_versions_and_files(name: str) -> None:
    main = {one.partition(" \\")[0]: one for one in entries("requirements.txt")}
    theirs = {one.partition(" \\")[0]: one for one in entries(name)}
    shared = set(main) & set(theirs)
    assert {one: theirs[one] for one in shared} == {one: main[one] for one in shared}
    assert name == "requirements-dev.txt" or shared == set(theirs)


class Build:
    """The folder /build of the app's image, with stand-ins that write down how they are called."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder / "build", folder / "calls"
        self.folder.mkdir()
        for name in ("requirements.txt", "requirements-uv.txt", "docker/app/install.sh"):
            shutil.copy(REPO / name, self.folder)
        for name in ("python", "pip", "uv"):
            program(folder / "bin" / name, f'echo "{name} $*" >>{self.calls}')
        self.path = f"{folder}/bin:/usr/bin:/bin"

    def run(self, **variables: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        """What came of it, and the calls of uv."""
        self.calls.unlink(missing_ok=True)
        command = ["sh", str(self.folder / "install.sh")]
        environment = {"PATH": self.path} | variables
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        calls = self.calls.read_text().splitlines()
        assert [call for call in calls if call.startswith("pip") and "--require-hashes" not in call] == []
        return done, [call for call in calls if call.startswith("uv")]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path)


def test_the_image_takes_only_files_of_the_lock(build: Build) -> None:
    done, (call,) = build.run()
    assert (done.returncode, done.stderr) == (0, "")
    lock = build.folder / "requirements.txt"
    assert f"--require-hashes --build-constraints {lock} -r {lock}" in call


def test_a_cpu_build_of_torch_is_held_against_a_lock_of_its_own(build: Build) -> None:
    index = {"TORCH_INDEX_URL": "https://cpu.example"}
    torch = next(one.partition(" ")[0] for one in entries("requirements.txt") if one.startswith("torch=="))
    done, (others, alone) = build.run(**index)
    assert "is not checked against a hash" in done.stderr
    assert "--require-hashes" in others
    assert alone.endswith(f"--no-deps --default-index https://cpu.example {torch}")
    left = (build.folder / "others.txt").read_text()
    assert not re.search(r"^(torch==|triton|nvidia|cuda)", left, re.MULTILINE)
    assert left.count("==") > 150
    assert re.findall(r"^    --hash.*[^\\]\n    --hash", left, re.MULTILINE) == [], "no hash without its package"

    (build.folder / "torch-cpu.txt").write_text(f"{torch}+cpu --hash=sha256:{'0' * 64}\n")
    done, (_, alone) = build.run(**index)
    assert (done.returncode, done.stderr, "--require-hashes" in alone) == (0, "", True)
    (build.folder / "torch-cpu.txt").write_text(f"torch==1.0 --hash=sha256:{'0' * 64}\n")
    done, _ = build.run(**index)
    assert (done.returncode, "torch-cpu.txt is not of" in done.stderr) == (1, True)


@pytest.mark.skipif(not os.access("/usr/bin/git", os.X_OK), reason="git lists the files")
def test_nobody_installs_without_hashes() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=REPO, capture_output=True, text=True, check=True).stdout.split()
    files = [name for name in files if name.endswith((".sh", "Dockerfile")) or name in ("run", "test")]
    lines = [line for name in files for line in (REPO / name).read_text().replace("\\\n", " ").splitlines()]
    installs = [line for line in lines if re.search(r"\bpip install\b", line) and not line.lstrip().startswith("#")]
    assert len(installs) >= 5
    known = ("install() {", "--require-hashes")
    assert [line for line in installs if not any(word in line for word in known)] == []
