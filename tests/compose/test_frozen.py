"""Soak: what the watchdog in the containers leaves alone, and what it heals; prints the seconds."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.compose.conftest import Note
from tests.support.compose import Deployment, main_process, not_healthy
from tests.support.stack import wait_for

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]

RECOVERS = 1500.0
PAUSE = 180.0  # of all containers, as when a laptop sleeps
AWAY = 300.0  # of the exchange: longer than the watchdog's patience with its slowest look
# Those of one wave need nothing of each other, but for the last, where two wait for PostgreSQL.
WAVES = (
    ("redis", "replica", "namenode", "datanode", "resourcemanager", "nodemanager"),
    ("metastore", "flask", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer", "airflow-worker"),
    ("hiveserver2", "postgres", "airflow-apiserver"),
)


@pytest.fixture(scope="module")
def celery(new_deployment: Callable[[], Deployment]) -> Deployment:
    """The larger deployment, so that Redis and a worker are there."""
    started = new_deployment()
    started.choose("--executor", "celery")
    started.compose("up", "--wait", "--detach", timeout=1800)
    wait_for(lambda: started.status().get("covered_until"), RECOVERS, every=3)
    return started


def test_a_pause_of_all_containers_restarts_nothing(celery: Deployment, note: Note) -> None:
    before, names = starts(celery), [c["Name"].lstrip("/") for c in running(celery).values()]
    celery.run("docker", "pause", *names)
    try:
        time.sleep(PAUSE)  # the pause itself
    finally:
        celery.run("docker", "unpause", *names)
    began = time.monotonic()
    wait_for(lambda: not not_healthy(celery.containers()), RECOVERS, every=3)
    note(f"paused for {PAUSE:.0f} s: all healthy after (s)", round(time.monotonic() - began))
    note("verify after the pause", celery.verified(RECOVERS))
    assert starts(celery) == before


def test_an_exchange_that_is_away_restarts_nothing(celery: Deployment, note: Note) -> None:
    """Neither one that is silent nor one whose name nobody knows is the fault of what asks it."""
    before = starts(celery)
    replica = running(celery)["replica"]["Name"].lstrip("/")
    for leave, come in (("pause", "unpause"), ("stop", "start")):
        celery.run("docker", leave, replica)
        try:
            time.sleep(AWAY)  # as long as it is away
            others = {name: c for name, c in celery.containers().items() if name != replica}
            assert not not_healthy(others)
        finally:
            celery.run("docker", come, replica)
    assert without(starts(celery), "replica") == without(before, "replica")
    note("verify after the exchange was away", celery.verified(RECOVERS))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may freeze the processes of containers")
def test_each_container_that_is_frozen_is_restarted_and_nothing_is_lost(celery: Deployment, note: Note) -> None:
    for wave in WAVES:
        before = {name: c for name, c in running(celery).items() if name in wave}
        assert set(before) == set(wave)
        already = ended(celery)
        for container in before.values():
            os.kill(main_process(container), signal.SIGSTOP)
        recovered = seconds_to_recover(celery, before)
        for name, seconds in recovered.items():
            note(f"frozen {name}, healthy again (s)", seconds)
        wait_for(lambda: not not_healthy(celery.containers()), RECOVERS, every=3)
        assert ended(celery) == already + Counter(wave), "no other was ended (parts of Airflow die with their database)"
    last = celery.verified(RECOVERS)
    note("verify after every container was frozen", last)


def seconds_to_recover(deployment: Deployment, before: dict[str, Any]) -> dict[str, int]:
    """Until each of these containers runs anew and is healthy."""
    began, recovered = time.monotonic(), dict[str, int]()

    def all_recovered() -> bool:
        for name, container in running(deployment).items():
            anew = name in before and container["State"]["StartedAt"] != before[name]["State"]["StartedAt"]
            if anew and container["State"]["Health"]["Status"] == "healthy":
                recovered.setdefault(name, round(time.monotonic() - began))
        return len(recovered) == len(before)

    assert wait_for(all_recovered, RECOVERS, every=3), (recovered, not_healthy(deployment.containers()))
    return recovered


def ended(deployment: Deployment) -> Counter[str]:
    """How often the watchdog has ended each service so far."""
    names = running(deployment)
    logs = {name: deployment.compose("logs", "--no-log-prefix", name) for name in names}
    return +Counter({name: log.count("watchdog: ending the main process") for name, log in logs.items()})


def running(deployment: Deployment) -> dict[str, Any]:
    """Containers that run, by the name of their service."""
    found = deployment.containers().values()
    return {c["Config"]["Labels"]["com.docker.compose.service"]: c for c in found if c["State"]["Running"]}


def starts(deployment: Deployment) -> dict[str, str]:
    """When each service was started."""
    return {name: c["State"]["StartedAt"] for name, c in running(deployment).items()}


def without(found: dict[str, str], *names: str) -> dict[str, str]:
    """All but these."""
    return {name: value for name, value in found.items() if name not in names}
