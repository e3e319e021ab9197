"""One version everywhere; and a release does not touch what a newer one wrote in a form that it does not read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from upbit_elt import __version__, release
from upbit_elt.errors import DataTooNew
from upbit_elt.stack.names import REPO

NEWER = json.dumps({"release": "9.0.0", "layout": release.LAYOUT + 1})


def test_the_release_is_the_same_wherever_it_is_named() -> None:
    """Images of two releases have different names, so that those of the one before are there for a rollback."""
    assert tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["version"] == __version__
    tags = re.findall(r"image: upbit-elt/\w+:(.*)", (REPO / "docker-compose.yml").read_text())
    assert tags == [__version__, __version__]
    newest = re.findall(r"^## (\S+)", (REPO / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    assert newest == __version__
    layout = re.findall(r"^LAYOUT=(\d+)$", (REPO / "docker" / "preflight.sh").read_text(), re.MULTILINE)
    assert layout == [str(release.LAYOUT)]


def test_the_next_release_of_a_layout_and_the_one_before_go_on(tmp_path: Path) -> None:
    file = tmp_path / "state" / release.NAME
    release.enter(file.parent)
    assert json.loads(file.read_text()) == {"release": __version__, "layout": release.LAYOUT}
    for there in (json.dumps({"release": "9.0.0", "layout": release.LAYOUT}), "{", "[]", ""):
        file.write_text(there)
        release.enter(file.parent)
        assert json.loads(file.read_text())["release"] == __version__


def test_data_of_a_newer_layout_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / release.NAME).write_text(NEWER)
    for way in (release.check, release.enter):
        with pytest.raises(DataTooNew, match=r"release 9\.0\.0 has written here .* start 9\.0\.0 or a newer one"):
            way(tmp_path)
    assert (tmp_path / release.NAME).read_text() == NEWER


@pytest.mark.parametrize(
    "command",
    [["upbit_elt.stack"], ["upbit_elt", "gaps"], ["upbit_elt.release"]],
    ids=["./run", "the command line", "airflow-init"],
)
def test_a_downgrade_is_one_line(command: list[str], tmp_path: Path) -> None:
    data, jars = tmp_path / "data", tmp_path / "jars"
    (data / "state").mkdir(parents=True)
    (data / "state" / release.NAME).write_text(NEWER)
    variables = {
        "UPBIT_RUN_DATA_DIR": str(data),
        "UPBIT_RUN_JARS_DIR": str(jars),
        "UPBIT_ELT_STATE_DIR": str(data / "state"),
        "UPBIT_RUN_MIN_MEMORY_GB": "0",
        "UPBIT_RUN_MIN_FREE_GB": "0",
        "COLUMNS": "1000",
    }
    done = subprocess.run(
        [sys.executable, "-m", *command], env=os.environ | variables, capture_output=True, text=True, check=False
    )
    (line,) = done.stderr.splitlines()
    assert done.returncode != 0
    assert "release 9.0.0 has written here" in line
    assert not jars.exists()
