"""Last of a stack: a second start over an exchange in trouble, and while it runs each service killed, one frozen."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import psutil
import pytest

from tests.support.audit import audits
from tests.support.stack import STATUS, Stack, utc_of, wait_for
from upbit_elt.candle import Candle
from upbit_elt.lake import ledger
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality.compare import accounted
from upbit_elt.replica import SyntheticSource, truth
from upbit_elt.stack.names import MARKER
from upbit_elt.warehouse.hive import Hive

RATES = (
    "storm=0.2,error=0.01,hang=0.0005,cut=0.005,garbage=0.005,html=0.005,"
    "empty=0.003,slow=0.005,skew=0.01,late=0.01,stale=0.3,bad=0.02"
)
FAULT_MINUTES = 3.5
# One after the other, as two of a machine's services rarely die in the same second.
VICTIMS = ("airflow-scheduler", "flask", "datanode", "hiveserver2", "namenode")
FROZEN = (
    "airflow-dag-processor"  # the watchdog takes it for hung while the others are killed, and while data is awaited
)


pytestmark = pytest.mark.timeout(2400)  # start, faults and their end go by the wall clock


class Restart(NamedTuple):
    """What the first start left, and the status once the second one is up."""

    left: list[psutil.Process]
    before: dict[str, Any]
    after: dict[str, Any]


@pytest.fixture(scope="module")
def restart(stack: Stack) -> Restart:
    """The stack stopped, and started again over an exchange that is in trouble for some minutes."""
    before = stack.status()
    assert stack.run("stop").returncode == 0
    left = [p for p in psutil.process_iter() if _belongs(p, stack.variables["UPBIT_RUN_DATA_DIR"])]
    faults = {"UPBIT_REPLICA_FAULTS": RATES, "UPBIT_REPLICA_FAULTS_MINUTES": str(FAULT_MINUTES)}
    calm = {"UPBIT_ELT_HISTORY_DAYS": "0"}
    again = stack.run("--exchange", "replica", timeout=1500, **faults, **calm)
    assert again.returncode == 0, again.stdout + again.stderr
    return Restart(left, before, stack.status())


def hung(status: dict[str, Any]) -> dict[str, Any]:
    """The services that the watchdog has restarted, and why."""
    return {service["name"]: service["restarted"] for service in status["services"] if service["restarted"]}


def test_a_second_start_goes_on_with_the_same_data(restart: Restart) -> None:
    assert restart.left == [], "every process is gone"
    # the exchange may fail every request, also that of a health check
    ours = [service for service in restart.after["services"] if service["name"] != "replica"]
    assert [service for service in ours if not service["healthy"]] == []
    assert utc_of(restart.after["covered_until"]) >= utc_of(restart.before["covered_until"])
    assert restart.after["candles_today"] >= restart.before["candles_today"]


def test_services_are_killed_or_frozen_and_nothing_is_lost(
    stack: Stack, restart: Restart, capsys: pytest.CaptureFixture[str]
) -> None:
    faults_end = _faults_end(stack)
    # Later than the first run's beginning: what lies before is history, which may arrive while this is compared.
    start = utc_of(restart.before["covered_until"]) - timedelta(hours=3)
    first = _kill(stack, "airflow-api-server")  # it gives the heartbeat of the frozen one
    stack.process(FROZEN).suspend()
    killed = [f"airflow-api-server {first}", *(f"{name} {_kill(stack, name)}" for name in VICTIMS)]
    calm = datetime.now(UTC) + timedelta(minutes=1)

    def covered() -> bool:
        until = stack.progress().covered_until
        return until is not None and utc_of(until) >= max(calm, faults_end + timedelta(minutes=1))

    def back() -> bool:
        status = stack.status() if covered() else None
        return bool(status and all(one["healthy"] for one in status["services"]) and hung(status))

    assert wait_for(back, 900, every=STATUS), stack.status()
    restarted = hung(stack.status())
    assert list(restarted) == [FROZEN], restarted
    assert restarted[FROZEN]["count"] == 1
    assert "unhealthy: no heartbeat since" in restarted[FROZEN]["why"]
    settings = stack.settings
    lake, hive = Lake.from_settings(settings), Hive.from_settings(settings)
    known = ledger.live_coverage(lake)
    assert known is not None
    end = known.end
    real = _truth(lake, start, end)
    found = audits(lake, hive, settings, real, (start, end))
    holes = [recheck for recheck in known.rechecks or () if recheck.state == "hole"]
    with capsys.disabled():
        print(f"\nkilled -9: {', '.join(killed)}; frozen: {FROZEN}; rates {RATES} for {FAULT_MINUTES} min")
        print({place: str(result) for place, result in found.items()}, "holes left:", holes)
    assert all(result.equal for result in found.values()), [result.examples for result in found.values()]
    assert found["lake"].compared > 10_000


def _kill(stack: Stack, name: str) -> int:
    """kill -9 of a service that runs; gives its process id once the supervisor has started it again."""
    pid = int(wait_for(lambda: stack.pid(name) or 0, 120, every=STATUS))
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: stack.pid(name) not in (None, pid), 120, every=STATUS)
    return pid


def _belongs(process: psutil.Process, data: str) -> bool:
    try:
        return process.environ().get(MARKER) == data
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return False


def _faults_end(stack: Stack) -> datetime:
    """When the replica's faults end."""
    began = stack.process("replica").create_time()
    return datetime.fromtimestamp(began, UTC) + timedelta(minutes=FAULT_MINUTES)


def _truth(lake: Lake, start: datetime, end: datetime) -> list[Candle]:
    """What the exchange holds of the minutes that the lake claims to know."""
    source = SyntheticSource(0, 289)
    spans: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for span in accounted(lake, start, end):
        spans[span.market].append((span.start, span.end))
    return [candle for market, pieces in spans.items() for piece in pieces for candle in truth(source, market, *piece)]
