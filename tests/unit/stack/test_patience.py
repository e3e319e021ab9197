"""How long a start is waited for, on a clock and with facts of the test's own."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from tests.unit.stack.conftest import Stub
from upbit_elt.stack import processes
from upbit_elt.stack.airflow import AirflowApi
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.patience import Patience, Work, work_of
from upbit_elt.stack.supervision import State
from upbit_elt.stack.up import collecting, parsing
from upbit_elt.stack.waiting import until

Facts = Callable[[float], Work]


def ends(facts: Facts, patience: float = 300.0) -> Patience:
    """The patience with a service that does what `facts` say at each second, when it is over."""
    waited = 0.0
    one = Patience(patience, lambda: facts(waited))
    while not one.over(waited):
        waited += 0.5
    return one


@pytest.mark.parametrize(
    ("facts", "seconds", "why"),
    [
        pytest.param(lambda _: Work(7, 3.0, 100), 300, "it is not at work", id="a process that does nothing"),
        pytest.param(lambda at: Work(7, at / 100, 100), 300, "it is not at work", id="one that only waits"),
        pytest.param(lambda _: Work(0, 0.0, 0), 300, "it is not at work", id="no process"),
        pytest.param(lambda at: Work(int(at) // 6 + 1, at % 6, int(at)), 300, "it is not at work", id="dies each 6 s"),
        pytest.param(lambda at: Work(7, at / 25, 0), 900, "so for 900 s at most", id="one of fifty on two cores"),
        pytest.param(lambda at: Work(7, 0.0, int(at) // 50), 900, "so for 900 s at most", id="writes to its log"),
        pytest.param(lambda at: Work(7, min(at, 400.0), 0), 480, "it is not at work", id="works and then hangs"),
    ],
)
def test_a_start_is_waited_for_while_it_is_at_work(facts: Facts, seconds: float, why: str) -> None:
    one = ends(facts)
    assert one.waited == pytest.approx(seconds, abs=1)
    assert one.words == f"for {one.waited:.0f} s; " + (why if "not" in why else f"it is at work, {why}")


def test_a_wait_says_for_how_long_and_that_it_is_prolonged() -> None:
    cpu = itertools.count()
    one = Patience(100.0, lambda: Work(7, next(cpu), 0))
    assert not one.over(99)
    assert (one.prolonged, one.words) == (False, "for 99 s")
    assert not one.over(100)
    assert (one.prolonged, one.words) == (True, "for 100 s; it is at work, so for 900 s at most")
    assert one.over(900)


def test_a_patience_that_is_over_ends_the_wait_with_what_is_wrong() -> None:
    assert until(lambda: "in safe mode", Patience(0, lambda: Work(7, 0.0, 0)), lambda _: None) == "in safe mode"


class Supervised:
    """What supervisord would say of one service."""

    def __init__(self, pid: int | None) -> None:
        self._pid = pid

    def state(self, name: str) -> State:
        return State(name, "RUNNING", self._pid, "")


def test_an_error_that_waiting_does_not_change_ends_the_wait(stub: Stub, stack: StackSettings) -> None:
    stack = stack.model_copy(update={"flask_port": urlsplit(stub.url).port})
    stub.answers["POST /auth/token"] = (201, {"access_token": "t"})
    api, me = AirflowApi(stub.url, "secret"), Supervised(os.getpid())
    error = {"filename": "/dags/mine.py", "stack_trace": "ImportError: no such thing"}
    failed = {"dag": "min_candle", "at": "2026-11-24T15:09:12Z", "error": "UnknownMarket"}
    for errors, dags, work in (([], [], os.getpid()), ([error], [failed], 0)):
        stub.answers["GET /api/v2/importErrors"] = (200, {"import_errors": errors})
        stub.answers["GET /api/v1/status"] = (200, {"errors": dags})
        assert [parsing(stack, me, api).pid, collecting(stack, me).pid] == [work, work]
    del stub.answers["GET /api/v1/status"]
    assert collecting(stack, me).pid == os.getpid(), "a page that does not answer may be busy"


def test_the_work_of_a_service_is_that_of_all_its_processes_and_its_log(stack: StackSettings) -> None:
    busy = "sum(range(10**7)); print('done', flush=True); import time; time.sleep(600)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        stack.logs_dir.mkdir(parents=True)
        (stack.logs_dir / "flask.log").write_text("hello")
        try:
            found = work_of(stack, Supervised(parent.pid), "flask")
        finally:
            os.killpg(parent.pid, 9)
    assert (found.pid, found.logged) == (parent.pid, 5)
    assert 0.1 < found.cpu < 60
    assert processes.cpu_seconds(parent.pid) == 0
    assert work_of(stack, Supervised(None), "page") == Work(0, 0.0, 0)
