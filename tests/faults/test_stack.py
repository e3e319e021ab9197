"""On the wall clock, under the real scheduler: faults of the exchange, and kill -9 of every service while it runs."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import free_ports
from tests.support.audit import audits
from tests.support.stack import Stack, utc_of, wait_for
from upbit_elt.candle import Candle
from upbit_elt.lake import ledger
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality.compare import accounted
from upbit_elt.replica import SyntheticSource, truth
from upbit_elt.settings import Settings
from upbit_elt.stack import environment
from upbit_elt.stack.options import load, variable
from upbit_elt.warehouse.hive import Hive

RATES = (
    "storm=0.2,error=0.01,hang=0.0005,cut=0.005,garbage=0.005,html=0.005,"
    "empty=0.003,slow=0.005,skew=0.01,late=0.01,stale=0.3,bad=0.02"
)
FAULT_MINUTES = 3.5
# One after the other, as two of a machine's services rarely die in the same second.
VICTIMS = (
    "airflow-scheduler", "flask", "datanode", "airflow-dag-processor", "hiveserver2", "airflow-api-server", "namenode",
)  # fmt: skip
BETWEEN = 8.0


pytestmark = pytest.mark.timeout(1200)  # start, faults and their end go by the wall clock


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, shared_jars: Path) -> Iterator[Stack]:
    folders = {"UPBIT_RUN_DATA_DIR": str(tmp_path_factory.mktemp("faulty")), "UPBIT_RUN_JARS_DIR": str(shared_jars)}
    faults = {"UPBIT_REPLICA_FAULTS": RATES, "UPBIT_REPLICA_FAULTS_MINUTES": str(FAULT_MINUTES)}
    calm = {"UPBIT_ELT_HISTORY_DAYS": "0"}
    running = Stack(folders | faults | calm | {variable(name): str(port) for name, port in free_ports().items()})
    try:
        started = running.run("--exchange", "replica", timeout=900)
        assert started.returncode == 0, started.stdout + started.stderr
        yield running
    finally:
        running.run("stop")


def settings_of(stack: Stack) -> Settings:
    given = {
        name.removeprefix("UPBIT_RUN_").lower(): value
        for name, value in stack.variables.items()
        if name.startswith("UPBIT_RUN_")
    }
    options = load(**given)
    return environment.settings_for(options, dataset="replica", base_url=options.replica_url)


def services(stack: Stack) -> dict[str, Any]:
    return {service["name"]: service for service in stack.status()["services"]}


def test_every_service_is_killed_and_nothing_is_lost(faulty: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    faults_end = _faults_end(faulty)
    # Later than the first run's beginning: what lies before is history, which may arrive while this is compared.
    start = utc_of(faulty.status()["covered_until"]) - timedelta(hours=3)
    killed = []
    for name in VICTIMS:
        service = services(faulty)[name]
        if service["pid"]:
            os.kill(service["pid"], signal.SIGKILL)
            killed.append(f"{name} {service['pid']}")
        time.sleep(BETWEEN)  # the machine goes on, as it does between two accidents
    calm = datetime.now(UTC) + timedelta(minutes=1)

    def back() -> bool:
        status = faulty.status()
        covered = status["covered_until"]
        healthy = all(service["healthy"] for service in status["services"])
        return healthy and covered is not None and utc_of(covered) >= max(calm, faults_end + timedelta(minutes=1))

    assert wait_for(back, 480), faulty.status()
    settings = settings_of(faulty)
    lake, hive = Lake.from_settings(settings), Hive.from_settings(settings)
    known = ledger.newest(lake)
    assert known is not None
    end = known.end
    real = _truth(lake, start, end)
    found = audits(lake, hive, settings, real, (start, end))
    holes = [doubt for doubt in known.doubts or () if doubt.state == "hole"]
    log = (Path(faulty.variables["UPBIT_RUN_DATA_DIR"]) / "logs" / "replica.log").read_text(errors="replace")
    with capsys.disabled():
        print(f"\nkilled -9: {', '.join(killed)}; rates {RATES} for {FAULT_MINUTES} min")
        print({place: str(result) for place, result in found.items()}, "holes left:", holes)
    assert len(killed) == len(VICTIMS), log[-2000:]
    assert all(result.equal for result in found.values()), [result.examples for result in found.values()]
    assert found["lake"].compared > 10_000


def _faults_end(stack: Stack) -> datetime:
    """When the replica's faults end."""
    began = psutil.Process(services(stack)["replica"]["pid"]).create_time()
    return datetime.fromtimestamp(began, UTC) + timedelta(minutes=FAULT_MINUTES)


def _truth(lake: Lake, start: datetime, end: datetime) -> list[Candle]:
    """What the exchange holds of the minutes that the lake claims to know."""
    source = SyntheticSource(0, 289)
    spans: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for ask in accounted(lake, start, end):
        spans[ask.market].append((ask.start, ask.end))
    return [candle for market, pieces in spans.items() for piece in pieces for candle in truth(source, market, *piece)]
