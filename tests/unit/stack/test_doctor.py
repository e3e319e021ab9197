from __future__ import annotations

import io
import socket
from datetime import UTC, datetime, timedelta

import pytest
from filelock import FileLock
from rich.console import Console

from tests.support.clock import ManualClock
from tests.unit.stack.conftest import Stub
from upbit_elt.exchange.limits import AddressLimits
from upbit_elt.stack import doctor, environment, phase, plan, status
from upbit_elt.stack.choice import Choice, RememberedChoice
from upbit_elt.stack.doctor import Check
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.supervision import State


@pytest.fixture
def exchange(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> Stub:
    stub.answers["HEAD /v1/market/all"] = (200, [])
    monkeypatch.setenv("UPBIT_BASE_URL", stub.url)
    return stub


def found(stack: StackSettings) -> dict[str, Check]:
    return {finding.name: finding for finding in doctor.examine(stack)}


def test_a_clock_that_agrees_is_well_and_one_that_does_not_is_named(stack: StackSettings, exchange: Stub) -> None:
    assert found(stack)["clock"].advice is None
    exchange.ahead = 60
    clock = found(stack)["clock"]
    assert "behind the exchange" in clock.seen
    assert "timedatectl" in str(clock.advice)
    exchange.ahead = -60
    assert "ahead of the exchange" in found(stack)["clock"].seen


def test_doctor_and_status_report_a_clock_that_was_set(stack: StackSettings, exchange: Stub) -> None:
    assert "clock set" not in found(stack)
    clock = ManualClock(datetime.now(UTC))
    limits = AddressLimits(environment.settings_for(stack).state_dir, 10, clock)
    limits.acquire("candles")
    clock.step(timedelta(hours=-9))
    limits.acquire("candles")
    clock.step(timedelta(hours=9))
    limits.acquire("candles")
    assert "was set forward by 32,400 s" in found(stack)["clock set"].seen
    assert "timedatectl" in str(found(stack)["clock set"].advice)
    out = io.StringIO()
    status.render(status.read(stack, plan.make(stack, Choice("replica", None))), Console(file=out, width=200))
    assert "was set forward by 32,400 s" in out.getvalue()


def test_an_exchange_that_does_not_answer(stack: StackSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPBIT_BASE_URL", "http://127.0.0.1:9")
    out = io.StringIO()
    assert doctor.render([found(stack)["exchange"]], Console(file=out, width=200)), "./run starts all the same"
    assert out.getvalue().startswith("warn  exchange: http://127.0.0.1:9 does not answer (ConnectionError)\n")
    assert "do: the first ./run takes the replica then" in out.getvalue()
    chosen = found(stack.model_copy(update={"exchange": "upbit"}))["exchange"]
    assert chosen.wrong
    assert "./run --exchange replica" in str(chosen.advice)
    RememberedChoice(exchange="upbit", replay=None, namenode_port=stack.namenode_port).save(stack)
    assert found(stack)["exchange"].wrong


def test_disk_and_ports_that_would_stop_a_start(stack: StackSettings, exchange: Stub) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        update = {"flask_port": server.getsockname()[1], "min_free_gb": 1e9}
        seen = found(stack.model_copy(update=update))
    assert "UPBIT_RUN_FLASK_PORT" in seen["ports"].seen
    assert "end what has it" in str(seen["ports"].advice)
    assert "make room" in str(seen["disk"].advice)


def test_during_a_start_the_ports_are_not_taken_and_nothing_is_wrong(stack: StackSettings, exchange: Stub) -> None:
    stack.run_dir.mkdir(parents=True)
    with FileLock(phase.lock(stack)):
        seen = found(stack)
    assert "./run is at it" in seen["start"].seen
    assert not {"ports", "services"} & {*seen}


@pytest.mark.parametrize(
    ("state", "waits"),
    [(None, True), ("STOPPED", True), ("STARTING", True), ("RUNNING", True), ("BACKOFF", False), ("FATAL", False)],
)
def test_a_service_that_gave_up_is_wrong_during_a_start_too(state: str | None, waits: bool) -> None:
    assert phase.expected(State("hiveserver2", state, None, "why") if state else None) is waits


@pytest.mark.parametrize(("advice", "well"), [(None, True), ("do this", False)])
def test_one_wrong_thing_is_enough(advice: str | None, well: bool) -> None:
    out = io.StringIO()
    findings = [Check("java", "17 in [/usr]"), Check("disk", "1 GB free", advice)]
    assert doctor.render(findings, Console(file=out, width=200)) is well
    assert "17 in [/usr]" in out.getvalue()
    assert ("do: do this" in out.getvalue()) is not well
