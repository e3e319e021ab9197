"""Java 17 or newer and Maven: find them, or install them where that is allowed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from upbit_elt.errors import StackError

MINIMUM = 17
INSTALLED = Path("/usr/lib/jvm")
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


@lru_cache
def java_home(installed: Path = INSTALLED) -> Path:
    """JAVA_HOME of a Java that is new enough: the variable's, the one on PATH, or one in `installed` (any machine).

    Raises:
        StackError: there is none.
    """
    old = []
    for home in _candidates(installed):
        version = java_version(home)
        if version >= MINIMUM:
            return home
        old.append(f"{home} is Java {version}" if version else f"{home} does not run")
    found = f" (found: {'; '.join(old)})" if old else ""
    raise StackError(f"Java {MINIMUM} or newer is missing{found}: apt-get install openjdk-17-jre-headless")


def found(installed: Path = INSTALLED) -> bool:
    """Whether there is any Java, of whatever version."""
    return any(True for _ in _candidates(installed))


def maven() -> str:
    """Path of `mvn`. Raises StackError when it is missing."""
    found = shutil.which("mvn")
    if found is None:
        raise StackError("Maven is missing: apt-get install maven")
    return found


def java_version(home: Path) -> int:
    """Major version of the Java in a folder; 0 when it does not run."""
    try:
        done = subprocess.run(
            [home / "bin" / "java", "-version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    match = _VERSION.search(done.stderr)
    return int(match[1]) if match else 0


def _candidates(installed: Path) -> Iterable[Path]:
    if value := os.environ.get("JAVA_HOME"):
        yield Path(value)
    if found := shutil.which("java"):
        yield Path(found).resolve().parents[1]
    # java-17-openjdk-amd64, java-17-openjdk-arm64, ...: newest name first
    homes = sorted(installed.glob("*/bin/java"), reverse=True)
    yield from dict.fromkeys(path.resolve().parents[1] for path in homes)
