"""`gaps`, `explain` and `prove` as a user calls them, with their exit codes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr

from tests.support.edges import DaemonEdge
from tests.support.world import World
from upbit_elt.__main__ import main
from upbit_elt.candle import from_table, to_table
from upbit_elt.errors import NotCollected
from upbit_elt.lake.parquet import coverage_of, decode, encode
from upbit_elt.quality.reconcile import wanted
from upbit_elt.replica import create_replica
from upbit_elt.replica.server import running
from upbit_elt.settings import Settings
from upbit_elt.settings import settings as settings_of_process

# The commands go by this machine's clock, and an exchange a day away from it would not be believed: the last evening.
MIDNIGHT = (datetime.now(UTC) - timedelta(hours=15, minutes=41)).replace(hour=15, minute=0, second=0, microsecond=0)
NOW = MIDNIGHT + timedelta(minutes=40, seconds=5)
DAY = f"{MIDNIGHT - timedelta(hours=15):%y%m%d}"  # the KST day that ended then


def kst(days: int) -> str:
    """The KST date so many days after the closed one."""
    return f"{MIDNIGHT + timedelta(days=days, hours=-15):%Y-%m-%d}"


@pytest.fixture
def world(daemons: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A closed day, and an exchange on the network whose clock goes on from NOW; the environment names all of it."""
    made = World(DaemonEdge(daemons), tmp_path / "world", NOW, markets=4, history_days=1, first_minutes=10)
    made.collect()
    made.fill_history(NOW + timedelta(hours=2))
    began = time.monotonic()

    def clock() -> datetime:
        return NOW + timedelta(seconds=time.monotonic() - began)

    with running(create_replica(made.source, clock)) as origin:
        here = made.settings.model_copy(update={"base_url": origin, "state_dir": tmp_path / "state"})
        for name, value in here.model_dump().items():
            variable = "UPBIT_BASE_URL" if name == "base_url" else f"UPBIT_ELT_{name.upper()}"
            monkeypatch.setenv(variable, _text(value))
        settings_of_process.cache_clear()
        yield made
    settings_of_process.cache_clear()
    made.close()


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_a_lost_candle_is_found_repaired_and_explained(world: World) -> None:
    hour = MIDNIGHT - timedelta(hours=12), MIDNIGHT - timedelta(hours=11)
    market = world.busiest(*hour)
    lost = next(c for c in world.truth(*hour) if c.market == market)
    path = f"{world.lake.root}/candle/{DAY}/day-1/candle.parquet"
    data = world.lake.read(path)
    kept = [candle for candle in from_table(decode(data, path)) if candle != lost]
    world.lake.delete(path)
    world.lake.publish(path, encode(to_table(kept), coverage_of(data, path)))
    minute = f"{lost.candle_date_time_utc}Z"
    assert "empty (asked)" in call("explain", market, minute).output.splitlines()[0]

    done = call("prove", "--day", DAY)
    assert done.exit_code == 0, done.output
    assert f"{DAY} proven: 4 markets, 96 hours compared, 1 differed, 1 repaired, 0 discrepancies" in done.output
    explained = call("explain", market.lower(), minute)
    assert explained.exit_code == 0
    lines = explained.output.splitlines()
    assert lines[0].endswith(": candle")
    assert f"{world.lake.root}/candle/{DAY}/day-2/candle.parquet, written by run cli__" in lines[1]
    assert any(line.startswith("older file") and "/day-1/" in line for line in lines)
    assert any("proven: 24 hours compared" in line and "1 differed, 1 repaired" in line for line in lines)

    again = call("prove")
    assert (again.exit_code, again.output.splitlines()[-1]) == (0, "nothing to do: every closed day is proven")


def test_gaps_exits_with_one_only_when_something_may_be_missing(world: World) -> None:
    span = ("--from", kst(0), "--to", kst(1))
    whole = call("gaps", *span)
    assert whole.exit_code == 0, whole.output
    assert "every minute is accounted for" in whole.output
    assert all(market in whole.output for market in world.markets)
    before = call("gaps", "--from", f"{kst(-2)}T12:00", "--to", f"{kst(-2)}T13:00", "--market", world.markets[0])
    assert before.exit_code == 0
    assert "before collection began" in before.output

    world.lake.delete(f"{world.lake.root}/candle/{DAY}/day-1/candle.parquet")
    lost = call("gaps", *span)
    assert lost.exit_code == 1
    assert f"HOLE {kst(0)} 00:00 KST to {kst(1)} 00:00 KST, 1440 min: file lost" in lost.output
    assert f"{4 * 1440:,} market-minutes may be missing" in lost.output
    document = json.loads(call("gaps", *span, "--json").output)
    assert document["unexplained_minutes"] == 4 * 1440
    assert {hole["explained"] for row in document["markets"] for hole in row["holes"]} == {False}
    one = json.loads(call("gaps", *span, "--json", "--market", world.markets[0]).output)
    assert [row["market"] for row in one["markets"]] == [world.markets[0]]

    assert wanted(world.lake, world.clock.now()) == [DAY]
    assert call("prove").exit_code == 0
    assert call("gaps", *span).exit_code == 0


def test_wrong_arguments_get_an_error_message(world: World) -> None:
    unknown = call("gaps", "--market", "KRW-NONE")
    assert (unknown.exit_code, "not collected here" in unknown.output) == (2, True)
    future = call("gaps", "--from", kst(2))
    assert (future.exit_code, f"the lake reaches until {kst(1)} 00:40 KST" in future.output) == (2, True)
    assert call("prove", "--day", "never").exit_code == 2
    with pytest.raises(NotCollected, match="not closed yet"):
        CliRunner().invoke(main, ["prove", "--day", kst(1)], catch_exceptions=False)
    with pytest.raises(NotCollected, match=r"in the future|not collected yet"):
        CliRunner().invoke(main, ["explain", world.markets[0], f"{kst(1)}T05:00"], catch_exceptions=False)
