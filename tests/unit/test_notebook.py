"""The example notebook runs from top to bottom on a lake, and shows what it promises."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.world import MemoryWorld, refusing
from tests.unit.test_reader import copy_of, stored
from upbit_elt.candle import MINUTE, floor_minute, kst_day
from upbit_elt.lake import layout
from upbit_elt.lake.parquet import encode

NOTEBOOK = Path(__file__).parents[2] / "examples" / "market_data.ipynb"


def run(notebook: Path) -> dict[str, Any]:
    """The names that the cells leave, carried out one after the other as Jupyter does."""
    names: dict[str, Any] = {}
    for cell in json.loads(notebook.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), notebook.name, "exec"), names)  # noqa: S102 - our own cells
    return names


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a lake up to now: two hours of candles, ten minutes that KRW-BTC did not answer, one forecast."""
    now = floor_minute(datetime.now(UTC))
    world = MemoryWorld(tmp_path / "state", now - timedelta(minutes=10, seconds=-10), first_minutes=110)
    world.collect()
    world.wire.spoil = refusing(world, "KRW-BTC")
    world.collect(now + timedelta(seconds=10))
    origin = now - timedelta(minutes=90)
    folder = layout.live_folder(world.lake.root, "forecast", kst_day(origin), 1)
    world.lake.publish(f"{folder}/{layout.stamp(origin)}.parquet", encode(stored(origin, "KRW-BTC", 10.0)))
    copied = copy_of(world, tmp_path / "copy")
    monkeypatch.setenv("LAKE_COPY", str(copied))
    return copied


def test_the_notebook_runs_and_shows_holes_and_a_fan(copy: Path) -> None:
    names = run(NOTEBOOK)
    assert names["market"] == "KRW-BTC"
    (hole,) = [row for row in names["holes"].itertuples() if row.reason == "server_trouble"]
    assert hole.end - hole.start == 10 * MINUTE
    assert [shape.fillcolor for shape in names["prices"].layout.shapes if shape.x0 == hole.start] == ["crimson"]
    assert names["fan"]["horizon"].tolist() == [1, 60]
    assert [trace.name for trace in names["picture"].data if trace.name] == ["90 %", "50 %", "median forecast", "close"]
