"""The health checks of the containers: exit code 3 only when the service's silence is its own (docker/watchdog.sh)."""

from __future__ import annotations

import os
import socketserver
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from tests.support.ports import free_ports
from tests.unit.stack.conftest import Stub, stub
from upbit_elt.stack.names import REPO

__all__ = ["stub"]  # fixture
HEALTH = "GET /api/v2/monitor/health"


class Broker(socketserver.StreamRequestHandler):
    """Redis, as far as a ping."""

    def handle(self) -> None:
        """Answer each command, an array of strings."""
        while header := self.rfile.readline():
            words = [self.rfile.read(int(self.rfile.readline()[1:]) + 2).strip() for _ in range(int(header[1:]))]
            answers = {b"PING": b"+PONG", b"HELLO": b"%1\r\n+proto\r\n:3"}
            self.wfile.write(answers.get(words[0], b"+OK") + b"\r\n")


@contextmanager
def broker(well: bool) -> Iterator[str]:
    """The address of one that answers, or of nothing."""
    if not well:
        yield f"redis://127.0.0.1:{free_ports(1)[0]}/0"
        return
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Broker) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
        server.shutdown()


def examine(service: str, stub: Stub, **variables: str) -> tuple[int, str]:
    command = [sys.executable, str(REPO / "docker/app/health.py"), service]
    here = {"UPBIT_AIRFLOW_URL": stub.url, **variables}
    done = subprocess.run(command, env=os.environ | here, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def without_heartbeat(part: str, database: str = "healthy") -> tuple[int, object]:
    return 200, {"metadatabase": {"status": database}, part: {"status": "unhealthy"}}


@pytest.mark.parametrize(
    ("executor", "well", "code"),
    [("LocalExecutor", False, 3), ("CeleryExecutor", True, 3), ("CeleryExecutor", False, 1)],
)
def test_a_scheduler_that_waits_for_redis_does_not_hang(stub: Stub, executor: str, well: bool, code: int) -> None:
    stub.answers[HEALTH] = without_heartbeat("scheduler")
    with broker(well) as url:
        names = {"AIRFLOW__CORE__EXECUTOR": executor, "AIRFLOW__CELERY__BROKER_URL": url}
        found, words = examine("airflow-scheduler", stub, **names)
    assert (found, "no heartbeat" in words, "the broker does not answer" in words) == (code, code == 3, code == 1)


def test_a_part_that_waits_for_the_database_does_not_hang(stub: Stub) -> None:
    stub.answers[HEALTH] = without_heartbeat("triggerer", database="unhealthy")
    assert examine("airflow-triggerer", stub)[0] == 1


def test_a_part_without_an_api_server_does_not_hang(stub: Stub) -> None:
    assert examine("airflow-triggerer", stub, UPBIT_AIRFLOW_URL=f"http://127.0.0.1:{free_ports(1)[0]}")[0] == 1
