"""One life of the deployment, in order: it starts, works, survives, moves and grows."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pyhive import hive
from TCLIService import ttypes

from tests.compose.conftest import Note
from tests.support import walk
from tests.support.compose import Deployment, main_process, not_healthy
from tests.support.stack import wait_for as wait_often

RUN = 900  # seconds in which a scheduled run has surely come and gone, on a busy machine
# Each look costs the deployment something, and nothing here comes within seconds.
wait_for = partial(wait_often, every=3)
pytestmark = pytest.mark.timeout(3600)


def test_candles_and_a_forecast_come_by_themselves(deployment: Deployment, note: Note) -> None:
    began = time.monotonic()
    wait_for(lambda: deployment.status().get("covered_until"), RUN)
    note("first candles in Hive, after up (s)", round(time.monotonic() - began))
    wait_for(lambda: deployment.status().get("forecast_origin"), RUN)
    note("first forecast, after up (s)", round(time.monotonic() - began))
    wait_for(lambda: len(deployment.successes("min_candle")) >= 2, RUN)
    assert deployment.airflow("/importErrors")["total_entries"] == 0


def test_hive_equals_the_replica_value_by_value(deployment: Deployment, note: Note) -> None:
    note("verify", deployment.verified(RUN))


def test_a_query_runs_on_yarn(deployment: Deployment) -> None:
    rows = deployment.hive().query("SELECT market, count(*) FROM upbit_lake_replica.candle GROUP BY market")
    assert len(rows) > 30  # of 60; some have not traded yet
    assert 1000 < sum(count for _, count in rows) <= deployment.count("candle")
    apps = on_yarn(deployment)
    assert {app["applicationType"] for app in apps} == {"TEZ"}
    assert {app["user"] for app in apps} == {"hive"}


def test_a_long_query_of_one_user_keeps_nobody_else_waiting(deployment: Deployment, note: Note) -> None:
    """It runs in the background, as drivers let it, and is cancelled in the end."""
    known = deployment.settings()
    login = {"username": "tableau", "password": known["HIVE_READER_PASSWORD"], "auth": "CUSTOM"}
    prices = "(SELECT trade_price AS p FROM upbit_bi_replica.candle)"
    cross = f"SELECT count(*) FROM {prices} a JOIN {prices} b ON a.p < b.p JOIN {prices} c ON a.p + b.p < c.p"
    with closing(hive.connect("127.0.0.1", int(known["HIVE_PORT"]), **login)) as connection:
        long = connection.cursor()
        long.execute(cross, async_=True)
        wait_for(lambda: max(app["runningContainers"] for app in on_yarn(deployment)) > 1, RUN)
        began = time.monotonic()
        assert deployment.hive().query("SELECT market, count(*) FROM upbit_lake_replica.candle GROUP BY market")
        note("another user's GROUP BY beside a long query (s)", round(time.monotonic() - began, 1))
        assert long.poll().operationState == ttypes.TOperationState.RUNNING_STATE
        long.cancel()
        assert long.poll().operationState == ttypes.TOperationState.CANCELED_STATE


def test_at_every_published_port_each_user_gets_what_is_his_and_no_more(
    deployment: Deployment, tmp_path: Path, note: Note
) -> None:
    tried: list[tuple[str, walk.Attempt, str | None]] = []
    with profiles(deployment, "webhdfs", "yarn"):
        ports = walk.published(deployment)
        assert set(ports) == set(walk.WALKS), "each port has its attempts in tests/support/walk.py"
        assert bound(deployment) == set(ports.values())
        assert {address for address, _ in ports.values()} == {"127.0.0.1"}
        before = counts(deployment)
        for service, attempts in walk.WALKS.items():
            began, at = time.monotonic(), "http://{}:{}".format(*ports[service])
            tried += [(service, attempt, attempt.act()) for attempt in attempts(deployment, at)]
            note(f"walk, {service} (s)", round(time.monotonic() - began))
        written_from_outside(deployment, tmp_path / "hello", ports["webhdfs"][1])
    for line in walk.table(tried):
        note("walk", line)
    assert [row for row in tried if row[1].needed != (row[2] is None)] == []
    after = counts(deployment)
    assert all(after[table] >= before[table] for table in before)


def test_containers_are_read_only_and_without_privileges(deployment: Deployment) -> None:
    for name, container in deployment.containers().items():
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert host["SecurityOpt"] == ["no-new-privileges:true"], name
        user = container["Config"]["User"]
        assert user not in ("", "root") or any(part in name for part in ("postgres", "preflight")), name


def test_sizes_and_memory_are_printed(deployment: Deployment, note: Note) -> None:
    images = deployment.run("docker", "images", "--format", "{{.Repository}}:{{.Tag}} {{.Size}}").splitlines()
    for image in images:
        if image.startswith("upbit-elt/"):
            note("image", image)
    stats = deployment.compose("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}").splitlines()
    for line in sorted(stats):
        name, used, *_ = line.removeprefix(deployment.project).split()
        note(f"memory {name.strip('-')}", used)
    assert len(stats) > 10


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may kill the processes of containers")
def test_every_main_process_is_killed_and_all_goes_on(deployment: Deployment, note: Note) -> None:
    before = deployment.successes("min_candle")
    running = {name: c["State"] for name, c in deployment.containers().items() if c["State"]["Running"]}
    for name, container in deployment.containers().items():
        if name in running:
            os.kill(main_process(container), signal.SIGKILL)
    began = time.monotonic()

    def back() -> bool:
        now = deployment.containers()
        restarted = all(now[name]["State"]["StartedAt"] != state["StartedAt"] for name, state in running.items())
        return restarted and not not_healthy(now)

    wait_for(back, RUN)
    note(f"all {len(running)} killed, healthy again (s)", round(time.monotonic() - began))
    wait_for(lambda: set(deployment.successes("min_candle")) - set(before), RUN)
    deployment.verified(RUN)


def test_a_backup_comes_back_in_an_empty_deployment_which_keeps_it_and_grows(
    deployment: Deployment, tmp_path: Path, note: Note
) -> None:
    """What was restored is stopped, and started again with three DataNodes and Airflow's Celery workers."""
    runs = deployment.successes("min_candle")
    before = counts(deployment)
    size, backup = deployment.run("bash", "docker/backup.sh", str(tmp_path / "to")).splitlines()[-1].split()
    note("backup", size)
    refused = deployment.run("bash", "docker/restore.sh", backup, check=False)
    assert "exists: a backup is restored into an empty deployment only" in refused

    deployment.compose("--profile", "*", "down", "--volumes", "--timeout", "5")
    shutil.move(deployment.env_file, tmp_path / "old.env")
    deployment.run("bash", "docker/restore.sh", backup)
    deployment.compose("down", "--timeout", "20")
    assert not deployment.containers()
    deployment.choose("--executor", "celery")
    with deployment.env_file.open("a") as file:
        file.write("REPLICATION=3\n")
    began = time.monotonic()
    deployment.compose("up", "--wait", "--detach", "--scale", "datanode=3")
    note("up --wait with data, 3 DataNodes, Celery (s)", round(time.monotonic() - began))
    # No less: so many forecasts do not come anew in the time. That nothing else came is verified with the next run.
    after = counts(deployment)
    assert all(after[table] >= before[table] > 0 for table in before)
    assert set(deployment.successes("min_candle")) >= set(runs)
    note("rows before the backup, restored", f"{before}, {after}")


def test_one_of_three_datanodes_is_lost_and_celery_workers_go_on(deployment: Deployment) -> None:
    wait_for(lambda: every_block_has_copies(deployment, 3), RUN, every=10)  # each look is a Java of its own
    datanodes = [name for name in deployment.containers() if "datanode" in name]
    assert len(datanodes) == 3
    lost = datanodes[0]
    deployment.trigger("housekeeping")
    before = deployment.successes("min_candle")
    deployment.run("docker", "kill", lost)
    new = wait_for(lambda: sorted(set(deployment.successes("min_candle")) - set(before)), RUN)[-1]
    tasks = deployment.airflow(f"/dags/min_candle/dagRuns/{new}/taskInstances")["task_instances"]
    workers = {c["Config"]["Hostname"] for name, c in deployment.containers().items() if "airflow-worker" in name}
    assert {task["hostname"] for task in tasks} <= workers
    deployment.verified(RUN)
    deployment.run("docker", "start", lost)


def test_no_worker_has_airflows_database_in_its_environment_and_housekeeping_cleans_it(deployment: Deployment) -> None:
    """The Connection that the one task needs comes from the API server."""
    password = deployment.settings()["AIRFLOW_DB_PASSWORD"]
    every = "cat /proc/[0-9]*/environ"
    assert password in deployment.compose("exec", "-T", "airflow-apiserver", "sh", "-c", every, check=False)
    of_worker = deployment.compose("exec", "-T", "airflow-worker", "sh", "-c", every, check=False)
    assert "AIRFLOW__CELERY__BROKER_URL" in of_worker
    assert password not in of_worker

    def state() -> str:
        (run,) = deployment.airflow("/dags/housekeeping/dagRuns?run_type=manual&limit=1")["dag_runs"]
        path = f"/dags/housekeeping/dagRuns/{run['dag_run_id']}/taskInstances/clean_database"
        return str(deployment.airflow(path)["state"])

    assert wait_for(lambda: (found := state()) in ("success", "failed", "skipped") and found, RUN) == "success"


def test_no_password_is_an_argument_of_a_process(deployment: Deployment) -> None:
    """Of the larger deployment: Redis is in it."""
    secrets = [
        value
        for name, value in deployment.settings().items()
        if name.endswith(("PASSWORD", "SECRET", "KEY", "TOKEN")) and value
    ]
    for name, container in deployment.containers().items():
        if container["State"]["Running"]:
            arguments = deployment.run("docker", "top", name, "-eo", "pid,args")
            assert not [secret for secret in secrets if secret in arguments], name


def on_yarn(deployment: Deployment) -> list[dict[str, Any]]:
    """What the ResourceManager says of each application."""
    _, said = from_inside(deployment, "http://resourcemanager:8088/ws/v1/cluster/apps")
    found: list[dict[str, Any]] = json.loads(said)["apps"]["app"]
    return found


def from_inside(deployment: Deployment, url: str, method: str = "GET") -> tuple[int, str]:
    """Status and text of a request from a container of the deployment, with the header that pages cannot send."""
    program = (
        "import http.client, sys; from urllib.parse import urlsplit; url = urlsplit(sys.argv[1])\n"
        "connection = http.client.HTTPConnection(url.netloc, timeout=30)\n"
        "connection.request(sys.argv[2], f'{url.path}?{url.query}', headers={'X-XSRF-HEADER': 'test'})\n"
        "answer = connection.getresponse(); print(answer.status, answer.read().decode())"
    )
    said = deployment.compose("exec", "-T", "resourcemanager", "python3", "-c", program, url, method)
    status, _, text = said.partition(" ")
    return int(status), text


@contextmanager
def profiles(deployment: Deployment, *names: str) -> Iterator[None]:
    """Profiles that publish ports, for the block."""
    chosen = [word for name in names for word in ("--profile", name)]
    everything = set(deployment.compose(*chosen, "config", "--services").split())
    added = sorted(everything - set(deployment.compose("config", "--services").split()))
    deployment.compose(*chosen, "up", "--wait", "--detach", "--no-deps", *added)
    try:
        yield
    finally:
        deployment.compose(*chosen, "rm", "--stop", "--force", *added)


def bound(deployment: Deployment) -> set[tuple[str, int]]:
    """Addresses and ports of this machine that the engine has given to the deployment's containers."""
    return {
        (binding["HostIp"], int(binding["HostPort"]))
        for container in deployment.containers().values()
        for of_port in container["NetworkSettings"]["Ports"].values()
        for binding in of_port or []
    }


def written_from_outside(deployment: Deployment, file: Path, port: int) -> None:
    """A file goes to HDFS and comes back by curl, by the name that WebHDFS sends its clients to."""
    file.write_text("from outside")
    url = f"http://localhost:{port}/webhdfs/v1/tmp/hello?op="
    header = ("-H", "X-XSRF-HEADER: curl")
    deployment.run("curl", "-sfL", *header, "-T", str(file), f"{url}CREATE&overwrite=true&user.name=upbit")
    assert deployment.run("curl", "-sfL", f"{url}OPEN&user.name=tableau") == "from outside"


def counts(deployment: Deployment) -> dict[str, int]:
    """Rows of both tables, by name; one statement, as each is a job on YARN."""
    of_one = "SELECT '{0}' AS name, count(*) AS found FROM upbit_lake_replica.{0}"
    rows = deployment.hive().query(" UNION ALL ".join(of_one.format(table) for table in ("candle", "forecast")))
    return {str(name): int(found) for name, found in rows}


def every_block_has_copies(deployment: Deployment, copies: int) -> bool:
    """Whether so many copies of all exist (the NameNode's counters know it 10 s later); requests them if not."""
    hadoop = ("exec", "-T", "namenode", "/opt/upbit-elt/docker/hadoop/entrypoint.sh")
    found = deployment.compose(*hadoop, "fsck", "/replica", check=False)
    if re.search(rf"Average block replication:\s+{copies}\.0\s", found):
        return True
    deployment.compose(*hadoop, "dfs", "-setrep", str(copies), "/replica", check=False)  # leases come and go meanwhile
    return False
