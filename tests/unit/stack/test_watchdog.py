"""When the watchdog restarts what hangs, and when it does not; at last with a real supervisord and real processes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise

import psutil
import pytest
import requests

from tests.support.disk import full_disk
from tests.support.ports import free_ports
from upbit_elt import direct
from upbit_elt.stack import environment, processes, restarts
from upbit_elt.stack.health import Check, Hung, needing
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.polling import becomes_true
from upbit_elt.stack.services import Service
from upbit_elt.stack.supervision import Supervisor, configuration
from upbit_elt.stack.watchdog import Limits, ServiceWatch, Watchdog

SILENT = Hung("no answer (ReadTimeout)")
EVERY = 20.0


class Looks:
    """A watch, and a clock that goes on by one look's time with each."""

    def __init__(self) -> None:
        self.now, self.watch = 1000.0, ServiceWatch(Limits())

    def at(self, trouble: str | None, pid: int | None = 7, after: float = EVERY) -> str | None:
        self.now += after
        return self.watch.decide(self.now, pid, trouble)

    def until_restarted(self, trouble: str = SILENT, pid: int = 7, most: int = 400) -> float | None:
        """Seconds of that trouble until the process is restarted; None when it is not within so many looks."""
        began = self.now
        for _ in range(most):
            if self.at(trouble, pid):
                self.watch.restarted(self.now)
                return self.now - began
        return None


@pytest.fixture
def looks() -> Looks:
    """Of a service that has answered once."""
    one = Looks()
    assert one.at(None) is None
    return one


def test_a_service_that_gives_no_answer_for_three_minutes_is_restarted(looks: Looks) -> None:
    said = [looks.at(SILENT) for _ in range(10)]
    assert said == [None] * 9 + ["no answer (ReadTimeout), for 180 s"]


def test_one_answer_restarts_the_count(looks: Looks) -> None:
    assert [looks.at(SILENT) for _ in range(9)] == [None] * 9
    assert looks.at(None) is None
    assert [looks.at(SILENT) for _ in range(9)] == [None] * 9


@pytest.mark.parametrize("trouble", ["the NameNode is in safe mode", "/readyz/services says 503: Hive does not answer"])
def test_a_service_that_answers_is_never_restarted(looks: Looks, trouble: str) -> None:
    assert looks.until_restarted(trouble) is None


def test_a_service_that_has_not_answered_yet_has_fifteen_minutes(looks: Looks) -> None:
    assert looks.until_restarted(pid=8) == 900 + EVERY


def test_a_pause_of_three_minutes_is_forgiven_at_any_moment(looks: Looks) -> None:
    for silent_before in range(10):
        assert [looks.at(SILENT) for _ in range(silent_before)] == [None] * silent_before
        # the first look afterwards finds connections dead and heartbeats old, the next ones too
        assert looks.at(SILENT, after=180.0) is None
        assert [looks.at(SILENT) for _ in range(9)] == [None] * 9
        assert looks.at(None) is None


def test_looks_that_come_late_count_nothing(looks: Looks) -> None:
    """A machine that gives the watchdog no time gives the services none either."""
    assert [looks.at(SILENT, after=100.0) for _ in range(50)] == [None] * 50


def test_a_few_slow_looks_are_not_enough(looks: Looks) -> None:
    assert [looks.at(SILENT, after=60.0) for _ in range(5)] == [None] * 5
    assert looks.at(SILENT, after=60.0) == "no answer (ReadTimeout), for 300 s"


def test_a_service_that_hangs_again_and_again_is_restarted_ever_more_seldom(looks: Looks) -> None:
    times: list[float] = []
    for pid in range(8, 15):
        assert looks.at(None, pid) is None
        assert looks.until_restarted(pid=pid) is not None
        times.append(looks.now)
    waits = [round(later - earlier) for earlier, later in pairwise(times)]
    assert waits[:5] == [300, 600, 1200, 2400, 3600]
    for _ in range(200):  # an hour without
        assert looks.at(None, 20) is None
    assert looks.until_restarted(pid=20) == 180 + EVERY


# A server that answers from a child, as gunicorn does: the child lives as long as its parent does not reap it.
SERVES = """
import os, sys, http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
if sys.argv[2] == "child" and os.fork():
    os.wait()
else:
    server.serve_forever()
"""
QUICK = Limits(every=0.1, looks=3, patience=0.5, start=60.0, late=5.0)


class Little:
    """A supervisord with one server, and a watchdog that checks when the test calls it."""

    def __init__(self, stack: StackSettings, port: int, serves: str, check: Check) -> None:
        program = stack.data_dir / "serves.py"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(SERVES)
        service = Service("server", (sys.executable, str(program), str(port), serves), check, stop_seconds=1)
        self.stack, self.supervisor = stack, Supervisor(stack)
        self.supervisor.start_daemon(configuration(stack, [service]), os.environ | environment.common(stack))
        self.supervisor.start("server")
        assert becomes_true(lambda: service.check() is None and self.pid, 20)
        self.check, self._paused = service.check, 0.0
        self.watchdog = Watchdog(stack, [service], QUICK, lambda: restarts.since_boot() + self._paused)
        self.watchdog.look()

    def pause(self, seconds: float) -> None:
        """Everything stands still: the server is frozen for a look's time, and the clock is ahead by `seconds`."""
        pid = self.pid
        freeze(pid)
        self._paused += seconds
        self.watchdog.look()
        os.kill(int(pid or 0), signal.SIGCONT)

    @property
    def pid(self) -> int | None:
        return self.supervisor.state("server").pid

    def looks_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        def look() -> bool:
            self.watchdog.look()
            return condition()

        return becomes_true(look, seconds)


def asks(port: int) -> Check:
    """The server's health check."""

    def check() -> str | None:
        try:
            direct.request("GET", f"http://127.0.0.1:{port}", timeout=0.3)
        except requests.RequestException as error:
            return Hung(type(error).__name__)
        return None

    return check


@pytest.fixture
def little(stack: StackSettings) -> Iterator[Callable[..., Little]]:
    def make(serves: str = "itself", need: Check = lambda: None) -> Little:
        (port,) = free_ports(1)
        return Little(stack, port, serves, needing(asks(port), need))

    yield make
    processes.end(stack.data_dir, 5)


def freeze(*pids: int | None) -> None:
    for pid in pids:
        assert pid
        os.kill(pid, signal.SIGSTOP)


def test_a_frozen_process_is_ended_and_serves_again(
    little: Callable[..., Little], caplog: pytest.LogCaptureFixture
) -> None:
    one = little()
    first = one.pid
    freeze(first)
    assert one.looks_until(lambda: one.pid not in (None, first) and not one.check(), 30)
    (restart,) = restarts.known(one.stack).values()
    assert restart.count == 1
    assert restart.why.startswith("ReadTimeout, for ")
    assert f"restarting server (pid {first}), restart 1: ReadTimeout, for " in caplog.text
    assert restarts.watchdog(one.stack)() is None


@pytest.mark.parametrize("frozen", ["parent", "child", "both"])
def test_a_frozen_parent_or_child_is_ended_with_all_that_belongs_to_it(
    little: Callable[..., Little], frozen: str
) -> None:
    one = little("child")
    assert one.pid
    tree = [one.pid, *(child.pid for child in psutil.Process(one.pid).children())]
    freeze(*{"parent": tree[:1], "child": tree[1:], "both": tree}[frozen])
    assert one.looks_until(lambda: one.pid not in (None, *tree) and not one.check(), 30)
    assert not [pid for pid in tree if processes.alive(pid)]


def test_while_what_it_needs_is_away_nothing_is_ended(little: Callable[..., Little]) -> None:
    away: list[str] = []
    one = little(need=lambda: away[0] if away else None)
    first = one.pid
    away.append("the NameNode is in safe mode")
    os.kill(int(first or 0), signal.SIGSTOP)
    assert not one.looks_until(lambda: one.pid != first, 2)
    os.kill(int(first or 0), signal.SIGCONT)
    assert restarts.known(one.stack) == {}


def test_while_the_disk_is_full_nothing_is_ended_and_the_watchdog_goes_on(little: Callable[..., Little]) -> None:
    one = little()
    first = one.pid
    freeze(first)
    with full_disk():
        assert not one.looks_until(lambda: one.pid != first, 2)
    assert one.looks_until(lambda: one.pid not in (None, first) and not one.check(), 30)


def test_a_pause_of_all_restarts_nothing(little: Callable[..., Little]) -> None:
    """The watchdog too: to it, its clock goes on by the length of the pause from one look to the next."""
    one = little()
    first = one.pid
    for _ in range(3):
        one.pause(180.0)
        one.watchdog.look()
    assert one.looks_until(lambda: not one.check(), 10)
    assert one.pid == first
    assert restarts.known(one.stack) == {}
