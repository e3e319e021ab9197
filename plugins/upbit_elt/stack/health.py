"""Checks that mean "can do its work", not merely "is running". Each gives None, or in words what is wrong.

Words of the kind `Hung` are the watchdog's: the daemon itself gave no answer, and nothing that it needs explains that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from upbit_elt import direct
from upbit_elt.errors import WarehouseError, WarehouseUnavailable
from upbit_elt.lake.connect import CSRF_HEADER
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive

TIMEOUT = 5.0
MARKETS = "/v1/market/all"
DATABASE = "metadatabase"
Check = Callable[[], str | None]


class Hung(str):
    """What is wrong with a daemon that may hang: no answer came from it, or no heartbeat for too long."""

    __slots__ = ()


class _NotReady(Exception):
    """Carries the reason from a probe to its check."""


def needing(check: Check, *needs: Check) -> Check:
    """The check of a daemon that needs others: while one of these is not well, it is not taken for hung."""

    def excused() -> str | None:
        trouble = check()
        hung = isinstance(trouble, Hung) and all(need() is None for need in needs)
        return trouble if trouble is None or hung else str(trouble)

    return excused


def namenode(webhdfs_url: str) -> Check:
    """Lists its files, is out of safe mode, and at least one DataNode lives."""

    def check() -> str | None:
        _get(f"{webhdfs_url}/webhdfs/v1/?op=LISTSTATUS")
        bean = _bean(webhdfs_url, "Hadoop:service=NameNode,name=FSNamesystemState")
        if bean.get("FSState") != "Operational":
            return "the NameNode is in safe mode"
        return None if bean.get("NumLiveDataNodes") else "no DataNode has reported yet"

    return _guarded(check)


def datanode(webhdfs_url: str, datanode_url: str, user: str) -> Check:
    """Registered at the NameNode, and where WebHDFS sends writers to is an address that answers."""

    def check() -> str | None:
        bean = _bean(datanode_url, "Hadoop:service=DataNode,name=DataNodeInfo")
        actors = json.loads(bean.get("BPServiceActorInfo") or "[]")
        if not any(actor["ActorState"] == "RUNNING" for actor in actors):
            return "the DataNode has not registered at the NameNode yet"
        return writable(webhdfs_url, user)()

    return _guarded(check)


def writable(webhdfs_url: str, user: str) -> Check:
    """WebHDFS sends a writer to a DataNode that answers."""

    def check() -> str | None:
        try:
            return None if write_target(webhdfs_url, user) else "WebHDFS names no DataNode to write to"
        except requests.RequestException as error:
            return f"no answer of WebHDFS, or of the DataNode that it names ({type(error).__name__})"

    return _guarded(check)


def write_target(webhdfs_url: str, user: str) -> str:
    """Address of the DataNode that WebHDFS redirects a write to (nothing is written); it has answered once.

    Raises:
        requests.RequestException: either of them does not answer.
    """
    query = {"op": "CREATE", "user.name": user, "noredirect": "true", "overwrite": "false"}
    response = direct.request(
        "PUT", f"{webhdfs_url}/webhdfs/v1/_probe", params=query, headers=CSRF_HEADER, timeout=TIMEOUT
    )
    response.raise_for_status()
    location = str(response.json()["Location"])
    target = location.split("/webhdfs/", maxsplit=1)[0]
    direct.request("GET", f"{target}/jmx?qry=none", timeout=TIMEOUT).raise_for_status()
    return target


def hiveserver2(settings: Settings) -> Check:
    """Answers a statement on an authenticated session."""
    hive = Hive.from_settings(settings.model_copy(update={"hive_timeout": 15.0}))

    def check() -> str | None:
        try:
            rows = hive.query("SELECT 1")
        except WarehouseUnavailable:
            return Hung("no answer to SELECT 1")
        except WarehouseError as error:
            return f"SELECT 1 was refused: {error}"
        return None if rows == [(1,)] else f"SELECT 1 gave {rows}"

    return check


def exchange(base_url: str, timeout: float = TIMEOUT) -> Check:
    """Lists its markets, by the proxy that the environment names."""
    address = f"{base_url}{MARKETS}"
    return _guarded(lambda: _lists_markets(requests.get(address, timeout=timeout)))  # noqa: TID251 - it is outside


def replica(replica_url: str) -> Check:
    """It answers and lists its markets (unless it has to fail); it runs on this machine, so no proxy is used."""

    def check() -> str | None:
        direct.request("GET", replica_url, timeout=TIMEOUT)
        try:
            return _lists_markets(direct.request("GET", f"{replica_url}{MARKETS}", timeout=TIMEOUT))
        except requests.RequestException as error:
            return f"no answer to market/all ({type(error).__name__})"

    return _guarded(check)


def page(flask_url: str) -> Check:
    """The Flask service can read HDFS and Hive. Stale candles are not its fault: `./run status` says them apart."""

    def check() -> str | None:
        direct.request("GET", f"{flask_url}/healthz", timeout=10.0)
        try:
            response = direct.request("GET", f"{flask_url}/readyz/services", timeout=15.0)
        except requests.RequestException as error:
            return f"no answer of HDFS or Hive through /readyz/services ({type(error).__name__})"
        return None if response.ok else f"/readyz/services says {response.status_code}: {_json(response).get('title')}"

    return _guarded(check)


@dataclass(frozen=True)
class AirflowHealth:
    """The parts of Airflow as its API server sees them: running, with a recent heartbeat."""

    airflow_url: str

    def part(self, name: str) -> Check:
        """Check of `scheduler`, `dag_processor` or `triggerer`, by its heartbeats in Airflow's database."""

        def check() -> str | None:
            parts = self._parts()
            status = parts.get(name, {}).get("status")
            words = f"Airflow calls its {name} {status or 'unknown'}"
            if status == "unhealthy" and parts.get(DATABASE, {}).get("status") == "healthy":
                return Hung(f"{words}: no heartbeat since {parts[name].get(f'latest_{name}_heartbeat')}")
            return None if status == "healthy" else words

        server = self.server()
        own = needing(_guarded(check), server)

        def part_or_server() -> str | None:
            trouble = own()
            silent = None if trouble is None or isinstance(trouble, Hung) else server()
            return f"Airflow's API server, which knows of it: {silent}" if silent else trouble

        return part_or_server

    def server(self) -> Check:
        """Check of the API server: it answers, and reaches its database."""

        def check() -> str | None:
            status = self._parts().get(DATABASE, {}).get("status")
            return None if status == "healthy" else f"Airflow calls its {DATABASE} {status or 'unknown'}"

        return _guarded(check)

    def _parts(self) -> dict[str, dict[str, Any]]:
        parts: dict[str, dict[str, Any]] = _json(_get(f"{self.airflow_url}/api/v2/monitor/health"))
        return parts


def _guarded(check: Check) -> Check:
    def guarded() -> str | None:
        try:
            return check()
        except _NotReady as reason:
            return str(reason)
        except requests.RequestException as error:
            return Hung(f"no answer ({type(error).__name__})")
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            return f"an answer that makes no sense ({error!r}); does another program have this port?"

    return guarded


def _lists_markets(response: requests.Response) -> str | None:
    return None if _json(_well(response)) else "market/all lists no market"


def _get(url: str) -> requests.Response:
    return _well(direct.request("GET", url, timeout=TIMEOUT))


def _well(response: requests.Response) -> requests.Response:
    if not response.ok:
        raise _NotReady(f"{response.url} says {response.status_code}")
    return response


def _json(response: requests.Response) -> Any:
    try:
        return response.json()
    except requests.JSONDecodeError:
        raise _NotReady(f"{response.url} gave no JSON; does another program have this port?") from None


def _bean(url: str, name: str) -> dict[str, Any]:
    beans = _json(_get(f"{url}/jmx?qry={name}")).get("beans", [])
    if not beans:
        raise _NotReady(f"{url} does not show {name.rsplit('=', 1)[-1]} yet")
    return dict(beans[0])
