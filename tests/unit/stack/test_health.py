from __future__ import annotations

import json

import pytest

from tests.unit.stack.conftest import Stub
from upbit_elt.settings import Settings
from upbit_elt.stack import health
from upbit_elt.stack.health import Check, Hung

NOBODY = "http://127.0.0.1:9"


def beans(**values: object) -> tuple[int, object]:
    return 200, {"beans": [values]}


@pytest.mark.parametrize(
    ("response", "trouble"),
    [
        (beans(FSState="Operational", NumLiveDataNodes=1), None),
        (beans(FSState="Operational", NumLiveDataNodes=0), "no DataNode has reported yet"),
        (beans(FSState="safeMode", NumLiveDataNodes=1), "the NameNode is in safe mode"),
        ((200, {"beans": []}), "does not show FSNamesystemState yet"),
        ((200, "<html>"), "does another program have this port?"),
        ((500, {}), "says 500"),
        ((200, []), "makes no sense"),
        ((200, {"beans": {"a": 1}}), "makes no sense"),
    ],
)
def test_namenode(stub: Stub, response: tuple[int, object], trouble: str | None) -> None:
    stub.answers["GET /jmx"] = response
    stub.answers["GET /webhdfs/v1/"] = (200, {"FileStatuses": {"FileStatus": []}})
    said = health.namenode(stub.url)()
    assert said is None if trouble is None else trouble in str(said)


@pytest.mark.parametrize(
    ("actors", "location", "trouble"),
    [
        ([{"ActorState": "RUNNING"}], "self", None),
        ([{"ActorState": "CONNECTING"}], "self", "has not registered"),
        ([{"ActorState": "RUNNING"}], f"{NOBODY}/webhdfs/v1/_probe", "no answer"),
    ],
)
def test_a_datanode_is_well_only_when_writers_reach_it(
    stub: Stub, actors: list[dict[str, str]], location: str, trouble: str | None
) -> None:
    stub.answers["GET /jmx"] = beans(BPServiceActorInfo=json.dumps(actors))
    target = location.replace("self", f"{stub.url}/webhdfs/v1/_probe")
    stub.answers["PUT /webhdfs/v1/_probe"] = (200, {"Location": target})
    said = health.datanode(stub.url, stub.url, "upbit")()
    assert said is None if trouble is None else trouble in str(said)


def test_parts_of_airflow_are_checked_one_by_one(stub: Stub) -> None:
    stub.answers["GET /api/v2/monitor/health"] = (
        200,
        {
            "metadatabase": {"status": "healthy"},
            "scheduler": {"status": "healthy"},
            "triggerer": {"status": "unhealthy", "latest_triggerer_heartbeat": "2026-11-24T03:00:00Z"},
        },
    )
    parts = health.AirflowHealth(stub.url)
    assert parts.server()() is None
    assert parts.part("scheduler")() is None
    late = parts.part("triggerer")()
    assert late == "Airflow calls its triggerer unhealthy: no heartbeat since 2026-11-24T03:00:00Z"
    assert isinstance(late, Hung)
    assert parts.part("dag_processor")() == "Airflow calls its dag_processor unknown"


def test_page_and_exchange(stub: Stub) -> None:
    stub.answers["GET /readyz/services"] = (503, {"title": "Hive does not answer"})
    assert health.page(stub.url)() == "/readyz/services says 503: Hive does not answer"
    stub.answers["GET /readyz/services"] = (200, {})
    assert health.page(stub.url)() is None
    stub.answers["GET /healthz"] = (200, {})
    stub.answers["GET /v1/market/all"] = (200, [])
    assert health.exchange(stub.url)() == "market/all lists no market"


def test_nobody_there_is_a_reason_not_an_exception() -> None:
    for check in (health.namenode(NOBODY), health.page(NOBODY), health.exchange(NOBODY)):
        said = check()
        assert said == "no answer (ConnectionError)"
        assert isinstance(said, Hung)
    assert health.hiveserver2(Settings(hive_host="127.0.0.1", hive_port=9))() == "no answer to SELECT 1"


def airflow(stub: Stub, database: str, part: str) -> Check:
    stub.answers["GET /api/v2/monitor/health"] = (
        200,
        {"metadatabase": {"status": database}, "scheduler": {"status": part}},
    )
    return health.AirflowHealth(stub.url).part("scheduler")


def test_a_service_that_answers_is_not_hung_whatever_it_says(stub: Stub) -> None:
    stub.answers["GET /webhdfs/v1/"] = (403, {"RemoteException": {"message": "in startup mode"}})
    stub.answers["GET /jmx"] = beans(BPServiceActorInfo=json.dumps([{"ActorState": "RUNNING"}]))
    stub.answers["PUT /webhdfs/v1/_probe"] = (200, {"Location": f"{NOBODY}/webhdfs/v1/_probe"})
    stub.answers["GET /readyz/services"] = (503, {"title": "HDFS does not answer"})
    for check in (
        health.namenode(stub.url),
        health.datanode(stub.url, stub.url, "upbit"),
        health.page(stub.url),
        health.replica(stub.url),
        airflow(stub, "unhealthy", "unhealthy"),
        airflow(stub, "healthy", "unknown"),
    ):
        said = check()
        assert said
        assert not isinstance(said, Hung)


def test_a_daemon_is_not_hung_while_what_it_needs_is_not_well() -> None:
    silent = health.page(NOBODY)
    for need, hung in ((None, True), ("the NameNode is in safe mode", False), (Hung("no answer"), False)):
        said = health.needing(silent, lambda need=need: need)()  # type: ignore[misc]
        assert said == "no answer (ConnectionError)"
        assert isinstance(said, Hung) is hung
    said = health.AirflowHealth(NOBODY).part("scheduler")()
    assert not isinstance(said, Hung), "the API server's silence is its own"
    assert said == "Airflow's API server, which knows of it: no answer (ConnectionError)"
