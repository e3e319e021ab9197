"""What `./run status` makes of what the service says."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from filelock import FileLock
from rich.console import Console

from tests.unit.stack.conftest import Stub
from upbit_elt.errors import StackError
from upbit_elt.stack import airflow, phase, plan, status
from upbit_elt.stack.choice import Choice
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.phase import Phase
from upbit_elt.stack.status import DataProgress, ServiceStatus, Status

WELL: dict[str, Any] = {
    "covered_until": "2026-11-24T03:00:00Z",
    "lag_seconds": 70,
    "forecast_origin": "2026-11-24T03:00:00Z",
    "forecast_stale": False,
    "stale": None,
    "errors": [],
}
STALE = "all 3 markets are stale, known only until 2026-11-24T03:00Z, 10 min ago (unreachable 3)"
ERROR = {"dag": "min_candle", "task": "roll", "run": "r", "at": "2026-11-24T03:10:40Z", "error": "Unreachable: [no]"}


def found(**changes: Any) -> Status:
    well = ServiceStatus(name="flask", healthy=True, pid=1, rss_mb=1.0)
    return Status.model_validate(WELL | changes | {"exchange": "replica", "services": [well], "addresses": {}})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"covered_until": None, "forecast_origin": None}, []),
        ({"stale": STALE}, [STALE]),
        ({"disk": "only 0.0 GB are free for /d", "stale": STALE}, ["only 0.0 GB are free for /d", STALE]),
        ({"forecast_stale": True}, ["the newest forecast is of 2026-11-24T03:00:00Z"]),
        ({"errors": [ERROR]}, ["min_candle failed at 2026-11-24T03:10:40Z: Unreachable: [no]"]),
    ],
)
def test_whatever_is_wrong_is_a_line_of_status_and_its_exit_code(
    changes: dict[str, Any], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    one = found(**changes)
    assert (one.troubles, one.well, one.healthy) == (words, not words, True)
    status.render(one, Console(file=sys.stdout, width=80))
    out = capsys.readouterr().out
    assert [line.removeprefix("WRONG ") for line in out.splitlines() if line.startswith("WRONG")] == words


def test_a_service_that_is_ill_makes_it_unwell() -> None:
    ill = ServiceStatus(name="hiveserver2", healthy=False, pid=None, rss_mb=0.0, trouble="no answer")
    assert not found(services=[ill]).model_copy(update={"services": [ill]}).well


def test_a_first_start_that_gave_up_is_not_well(stack: StackSettings, capsys: pytest.CaptureFixture[str]) -> None:
    assert phase.find(stack, alive=True) is Phase.UNFINISHED
    one = found(phase=Phase.UNFINISHED)
    assert (one.healthy, one.well) == (True, False)
    status.render(one, Console(file=sys.stdout, width=80))
    assert "WRONG no DAG runs and nothing is collected yet" in capsys.readouterr().out
    remembered = airflow.unpaused_file(stack)
    remembered.parent.mkdir(parents=True)
    remembered.write_text("[]")
    assert phase.find(stack, alive=True) is Phase.UP


def test_a_disk_that_is_nearly_full_is_seen(stack: StackSettings) -> None:
    full = stack.model_copy(update={"min_free_gb": 1e9})
    assert "GB are free for" in status.read(full, plan.make(full, Choice("replica", None))).troubles[0]


def test_a_stopped_stack_is_not_broken_and_status_says_how_to_start_it(
    stack: StackSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    one = status.read(stack, plan.make(stack, Choice("replica", None)))
    assert (one.phase, one.well) == (Phase.STOPPED, False)
    status.render(one, Console(file=sys.stdout, width=80))
    assert capsys.readouterr().out == (
        "exchange replica, stopped: ./run starts it and goes on with the data that is there\n"
    )


def test_a_starting_stack_is_not_broken(stack: StackSettings, capsys: pytest.CaptureFixture[str]) -> None:
    stack.run_dir.mkdir(parents=True)
    with FileLock(phase.lock(stack)):
        one = status.read(stack, plan.make(stack, Choice("replica", None)))
    assert one.phase is Phase.STARTING
    status.render(one, Console(file=sys.stdout, width=200))
    out = capsys.readouterr().out
    assert "STARTING ./run is at it" in out
    assert "WRONG" not in out
    assert phase.find(stack, alive=False) is Phase.STOPPED


def test_status_requests_everything_from_the_service(stack: StackSettings, stub: Stub) -> None:
    stub.answers["GET /api/v1/status"] = (200, WELL | {"stale": STALE, "errors": [ERROR], "now": "later"})
    there = stack.model_copy(update={"flask_port": int(stub.url.rpartition(":")[2])})
    assert len(status.progress(there).troubles) == 2
    for response in ((200, "<html>"), (503, {}), (200, {"errors": 7})):
        stub.answers["GET /api/v1/status"] = response
        with pytest.raises(StackError, match="gives no status"):
            status.progress(there)


def test_while_the_page_does_not_answer_nothing_is_said_of_the_data(
    stack: StackSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.run_dir.mkdir(parents=True)
    with FileLock(phase.lock(stack)):
        one = status.read(stack, plan.make(stack, Choice("replica", None)))
    assert (one.unknown, one.well) == ("the page's service, flask, does not run", False)
    assert found(unknown="no answer").well is False
    status.render(one, Console(file=sys.stdout, width=80))
    out = capsys.readouterr().out
    assert "cannot be said: the page's service, flask, does not run\n" in out
    assert "0 candles" not in out
    assert "covered until" not in out


@pytest.mark.parametrize("paused", [True, False])
def test_of_stale_candles_a_paused_dag_is_named_as_the_cause(stack: StackSettings, stub: Stub, paused: bool) -> None:
    stub.answers["POST /auth/token"] = (201, {"access_token": "t"})
    stub.answers["GET /api/v2/dags"] = (200, {"dags": [{"dag_id": "min_candle", "is_paused": paused}]})
    there = stack.model_copy(update={"airflow_port": int(stub.url.rpartition(":")[2])})
    planned = plan.make(there, Choice("replica", None))
    words = str(status.explained(there, planned, DataProgress(stale=STALE)).stale)
    assert ("min_candle is paused" in words, "dags unpause min_candle" in words) == (paused, paused)
    assert status.explained(there, planned, DataProgress()).stale is None
    stub.answers.clear()
    assert status.explained(there, planned, DataProgress(stale=STALE)).stale == STALE
