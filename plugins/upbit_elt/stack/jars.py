"""The jars of Hadoop, Hive and Tez, fetched by Maven from the poms under `docker/hadoop`."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from filelock import FileLock

from upbit_elt.errors import StackError
from upbit_elt.stack import java
from upbit_elt.stack.names import REPO

SETS = ("hadoop", "hive")
FETCH = REPO / "docker" / "hadoop" / "fetch-jars.sh"
TIMEOUT = 900.0
_STAMP = ".stamp"


def missing(folder: Path) -> list[str]:
    """Names of the jar sets that are absent, half fetched, or fetched from another pom."""
    return [name for name in SETS if _stamp(folder / name) != _wanted(_pom(name))]


def fetch(folder: Path) -> None:
    """Bring what is missing. Several processes may call this at once.

    Raises:
        StackError: no Java or Maven, or Maven failed (its last words are in the message).
    """
    for name in missing(folder):
        fetch_set(_pom(name), folder / name)


def fetch_set(pom: Path, folder: Path) -> None:
    """Bring the jars of one pom into a folder of their own, unless they are there.

    Raises:
        StackError: no Java or Maven, or Maven failed (its last words are in the message).
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / ".lock"):
        if _stamp(folder) == _wanted(pom):
            return
        fresh = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        _maven(pom, fresh)
        (fresh / _STAMP).write_text(_wanted(pom))
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)


def _maven(pom: Path, folder: Path) -> None:
    java.maven()  # says what to install when there is none
    environment = os.environ | {"JAVA_HOME": str(java.java_home())}
    try:
        done = subprocess.run(
            [FETCH, pom, folder],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StackError(f"Maven fetched no jars within {TIMEOUT:.0f} s; is there a network? Run it again.") from None
    if done.returncode:
        errors = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise StackError(
            f"Maven could not fetch the jars (is there a network?): {errors[0] if errors else 'no message'}"
        )


def _pom(name: str) -> Path:
    return REPO / "docker" / "hadoop" / name / "pom.xml"


def _wanted(pom: Path) -> str:
    return hashlib.sha256(pom.read_bytes()).hexdigest()


def _stamp(folder: Path) -> str:
    stamp = folder / _STAMP
    return stamp.read_text() if stamp.exists() else ""
