"""The services of the stack: what each runs, what it listens on, and when it is healthy."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from upbit_elt import backups
from upbit_elt.settings import Settings
from upbit_elt.stack import health, restarts
from upbit_elt.stack.health import AirflowHealth, Check
from upbit_elt.stack.names import HOST, PORTS, REPO
from upbit_elt.stack.options import StackSettings

ENTRYPOINT = REPO / "docker" / "hadoop" / "entrypoint.sh"


@dataclass(frozen=True)
class Service:
    """One supervised process.

    `ports` are names of stack settings; `patience` is how long (s) it may take until it is healthy (longer while it is
    at work: see Patience), and `stop_seconds` how long it may take to end before it is killed.
    """

    name: str
    command: tuple[str, ...]
    check: Check
    ports: tuple[str, ...] = ()
    patience: float = 300.0
    stop_seconds: int = 10


def daemons(stack: StackSettings, settings: Settings) -> list[Service]:
    """NameNode, DataNode and HiveServer2."""
    datanode_url = f"http://{HOST}:{stack.datanode_http_port}"
    namenode = health.namenode(stack.webhdfs_url)
    hive = health.needing(health.hiveserver2(settings), namenode)
    return [
        Service("namenode", _entrypoint("namenode"), namenode, _named("namenode")),
        Service(
            "datanode",
            _entrypoint("datanode"),
            health.datanode(stack.webhdfs_url, datanode_url, settings.webhdfs_user),
            _named("datanode"),
        ),
        Service("hiveserver2", _entrypoint("hiveserver2"), hive, ("hive_port",)),
    ]


def replica(stack: StackSettings, replay: Path | None) -> Service:
    """The local stand-in for the exchange, synthetic or replaying a folder."""
    options = ["--host", HOST, "--port", str(stack.replica_port)]
    if replay:
        options += ["--replay", str(replay)]
    return Service(
        "replica", _python("upbit_elt.replica", *options), health.replica(stack.replica_url), ("replica_port",)
    )


def airflow(stack: StackSettings) -> list[Service]:
    """The four processes of Airflow. Its log servers stay off: all logs are on this machine's disk."""
    parts = AirflowHealth(stack.airflow_url)
    no_log_server = "--skip-serve-logs"
    server = ("api-server", "--host", HOST, "--port", str(stack.airflow_port), "--workers", "1")
    return [
        Service("airflow-api-server", _airflow(*server), parts.server(), ("airflow_port",), stop_seconds=5),
        Service(
            "airflow-scheduler",
            _python("upbit_elt.stack.scheduler", no_log_server),
            parts.part("scheduler"),
            stop_seconds=15,
        ),
        Service("airflow-dag-processor", _airflow("dag-processor"), parts.part("dag_processor"), stop_seconds=5),
        Service("airflow-triggerer", _airflow("triggerer", no_log_server), parts.part("triggerer"), stop_seconds=5),
    ]


def flask(stack: StackSettings, needs: Iterable[Service]) -> Service:
    """Page, API and forecasts under gunicorn: one worker, so that model and candles are in memory once.

    `needs` are the services that it depends on: while these hang, it is not taken for hung itself.
    """
    options = ["--workers", "1", "--threads", "8", "--timeout", "120", "--no-control-socket"]
    bind = ["--bind", f"{HOST}:{stack.flask_port}"]
    command = _python("gunicorn", "flask_app:create_app(watch=True)", *options, *bind)
    check = health.needing(health.page(stack.flask_url), *(service.check for service in needs))
    # the services that it depends on may each take their own time before it can answer
    return Service("flask", command, check, ("flask_port",), patience=2 * Service.patience)


def watchdog(stack: StackSettings) -> Service:
    """Restarts those of the others that hang."""
    return Service("watchdog", _python("upbit_elt.stack", "watchdog"), restarts.watchdog(stack), stop_seconds=5)


def backup(stack: StackSettings, settings: Settings) -> Service:
    """Makes a backup a day; well while the last try went well."""
    return Service(
        "backup",
        _python("upbit_elt.stack", "backup", "--daily"),
        lambda: backups.failing(settings.state_dir) or None,
        stop_seconds=2,
    )


def _entrypoint(daemon: str) -> tuple[str, ...]:
    return (str(ENTRYPOINT), daemon)


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def _airflow(*arguments: str) -> tuple[str, ...]:
    return _python("airflow", *arguments)


def _named(prefix: str) -> tuple[str, ...]:
    return tuple(name for name in PORTS if name.startswith(prefix))
