"""What the documents point at is there: every file and folder that they name in backticks or link to."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
ROOMS = REPO, REPO / "plugins" / "upbit_elt", REPO / "tests"
DOCUMENTS = [REPO / "README.md", REPO / "CONTRIBUTING.md", *sorted((REPO / "docs").glob("*.md"))]
# `dags/min_candle.py`, `lake/ledger.py`, `tests/simulation`; not `/candle/yyMMdd/`, `.data/state`, `upbit.hyper`.
_NAMED = re.compile(r"`(\w[\w.-]*(?:/[\w.-]+)*/[\w.-]+|\w+\.(?:py|md|yml|toml|sh))`")
_LINKED = re.compile(r"\]\((?!http|#)([^)#]+)")
# Written by the reader, or Airflow's own.
_ELSEWHERE = {"docker/app/torch-cpu.txt", "webserver_config.py"}


def places(document: Path) -> Iterator[str]:
    text = document.read_text().partition("## Where things went")[0]  # that section names what is gone
    for name in {*_NAMED.findall(text)} - _ELSEWHERE:
        if not any((room / name).exists() for room in ROOMS):
            yield name
    for link in {*_LINKED.findall(text)}:
        if not (document.parent / link).exists():
            yield link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_place_that_a_document_names_is_there(document: Path) -> None:
    assert sorted(places(document)) == []


def test_every_name_of_the_code_in_the_architecture_is_there() -> None:
    named = set(
        re.findall(r"`([A-Z][a-z]+[A-Z]\w*|[A-Z_]{4,}|_[a-z_]+)`", (REPO / "docs" / "architecture.md").read_text())
    )
    assert len(named) > 20
    sources = [path.read_text() for top in ("plugins", "flask_app", "tests") for path in (REPO / top).rglob("*.py")]
    known = set(re.findall(r"\w+", " ".join(sources)))
    assert named - known == set()


def test_the_picture_of_the_floors_is_that_of_the_linter() -> None:
    contracts = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    floors = next(one["layers"] for one in contracts if one.get("containers") == ["upbit_elt"])
    blocks = (REPO / "docs" / "architecture.md").read_text().split("```")[1::2]
    picture = next(block for block in blocks if "__main__" in block)
    assert [line.split("  ")[0] for line in picture.strip().splitlines()] == floors
