"""The environment of all services: `STACK_*` for Hadoop and Hive, `UPBIT_ELT_*` for our own code."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pydantic import SecretStr

from upbit_elt.settings import Settings
from upbit_elt.stack import java
from upbit_elt.stack.names import HOST, MARKER, REPO
from upbit_elt.stack.options import StackSettings

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def settings_for(stack: StackSettings, **given: object) -> Settings:
    """Settings of our own code that point to this stack; the user's own (`UPBIT_ELT_*`) stay where they make sense."""
    addresses: dict[str, object] = {
        "state_dir": stack.data_dir / "state",
        "webhdfs_url": stack.webhdfs_url,
        "hdfs_uri": f"hdfs://{HOST}:{stack.namenode_port}",
        "hive_host": HOST,
        "hive_port": stack.hive_port,
        "flask_url": stack.flask_url,
    }
    return Settings(**(addresses | given))  # type: ignore[arg-type]


def hadoop(stack: StackSettings) -> dict[str, str]:
    """Variables of `docker/hadoop/entrypoint.sh` and of the files in `hadoop-conf` and `hive`."""
    return {
        "JAVA_HOME": str(java.java_home()),
        "STACK_DATA_DIR": str(stack.data_dir),
        "STACK_JARS_DIR": str(stack.jars),
        "STACK_NAMENODE_PORT": str(stack.namenode_port),
        "STACK_NAMENODE_HTTP_PORT": str(stack.namenode_http_port),
        "STACK_DATANODE_PORT": str(stack.datanode_port),
        "STACK_DATANODE_HTTP_PORT": str(stack.datanode_http_port),
        "STACK_DATANODE_IPC_PORT": str(stack.datanode_ipc_port),
        "STACK_HIVE_PORT": str(stack.hive_port),
    }


def application(settings: Settings) -> dict[str, str]:
    """The settings of our own code as environment variables."""
    named = {
        "UPBIT_BASE_URL" if name == "base_url" else f"UPBIT_ELT_{name.upper()}": getattr(settings, name)
        for name in Settings.model_fields
    }
    return {name: _text(value) for name, value in named.items()}


def common(stack: StackSettings) -> dict[str, str]:
    """What every Python service of ours needs."""
    return {
        MARKER: str(stack.data_dir),
        "SPT_NOENV": "1",  # Airflow and gunicorn retitle themselves, and would write the title over the mark
        "PYTHONPATH": f"{REPO / 'plugins'}:{REPO}",
        "PYTHONUNBUFFERED": "1",
        "MALLOC_ARENA_MAX": "2",
        "OMP_NUM_THREADS": "2",
    }


def proxies(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables of the environment that name proxies, with this machine as an exception; none without a proxy.

    Our own code reaches its services directly. Airflow's tasks and other packages do as these variables say. A SOCKS
    proxy is taken away: no package here speaks to one, and Airflow's tasks would not even start.
    """
    named = {name: value for name, value in given.items() if name.lower() in _PROXIES and value}
    found = {name: "" if value.startswith("socks") else value for name, value in named.items()}
    if not found:
        return {}
    known = ",".join(given.get(name, "") for name in ("no_proxy", "NO_PROXY"))
    hosts = [*filter(None, (host.strip() for host in known.split(","))), HOST, "localhost"]
    exceptions = "*" if "*" in hosts else ",".join(dict.fromkeys(hosts))
    return found | {"NO_PROXY": exceptions, "no_proxy": exceptions}


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if value is None:
        return ""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
