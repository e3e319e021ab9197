"""`health.py DAEMON`: exit 0 when the daemon of this container can do its work, else one line that says why not.

Exit 3: it gives no answer, though what it needs is well, so it hangs; docker/watchdog.sh ends it if that lasts.
`health.py DAEMON relay`: of a container that only passes on what another's daemon answers.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPException
from socket import create_connection
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.Thrift import TException, TMessageType, TType
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TBufferedTransport

TIMEOUT = 10
HUNG = 3
SILENCE = (OSError, HTTPException, TException)
DIRECT = build_opener(ProxyHandler({}))  # Docker's config.json may give every container a proxy


def namenode(host: str = "127.0.0.1") -> str | None:
    """Lists its files over WebHDFS and is out of safe mode."""
    _json(f"http://{host}:9870/webhdfs/v1/?op=LISTSTATUS")
    state = _bean(f"{host}:9870", "Hadoop:service=NameNode,name=FSNamesystemState")["FSState"]
    return None if state == "Operational" else f"the NameNode is in {state}"


def datanode() -> str | None:
    """Registered at the NameNode."""
    port = int(os.environ.get("STACK_DATANODE_HTTP_PORT", "9864"))
    bean = _bean(f"127.0.0.1:{port}", "Hadoop:service=DataNode,name=DataNodeInfo")
    actors = json.loads(bean.get("BPServiceActorInfo") or "[]")
    running = any(actor["ActorState"] == "RUNNING" for actor in actors)
    return None if running else "the DataNode has not registered at the NameNode"


def resourcemanager(host: str = "127.0.0.1") -> str | None:
    """Active."""
    state = _json(f"http://{host}:8088/ws/v1/cluster/info")["clusterInfo"]["state"]
    return None if state == "STARTED" else f"the ResourceManager is {state}"


def nodemanager() -> str | None:
    """Its disks are healthy and the ResourceManager counts it."""
    info = _json("http://127.0.0.1:8042/ws/v1/node/info")["nodeInfo"]
    if not info["nodeHealthy"]:
        return f"the NodeManager is unhealthy: {info['healthReport']}"
    node = f"http://{os.environ['STACK_RESOURCEMANAGER_HOST']}:8088/ws/v1/cluster/nodes/{info['id']}"
    try:
        state = _json(node)["node"]["state"]
    except SILENCE as error:
        return f"the ResourceManager does not answer: {error}"
    return None if state == "RUNNING" else f"the ResourceManager says the NodeManager is {state}"


def metastore(host: str = "127.0.0.1") -> str | None:
    """Lists its databases, which it reads from PostgreSQL."""
    socket = TSocket(host, 9083)
    socket.setTimeout(TIMEOUT * 1000)
    transport = TBufferedTransport(socket)
    transport.open()
    try:
        return None if "default" in _databases(TBinaryProtocol(transport)) else "the metastore has no database"
    finally:
        transport.close()


def hiveserver2() -> str | None:
    """Lists the databases on a session with a password."""
    from pyhive import hive  # noqa: PLC0415 - half of what the other daemons' checks would cost
    from pyhive.exc import DatabaseError  # noqa: PLC0415
    from thrift_sasl import TSaslClientTransport  # noqa: PLC0415

    user, _, password = os.environ["STACK_HIVE_USERS"].split(",")[0].partition(":")
    socket = TSocket("127.0.0.1", 10000)
    socket.setTimeout(15_000)  # a session takes seconds on a busy machine
    sasl = hive.get_installed_sasl(host="127.0.0.1", sasl_auth="PLAIN", username=user, password=password)
    transport = TSaslClientTransport(lambda: sasl, "PLAIN", socket)
    try:
        with closing(hive.Connection(thrift_transport=transport, username=user)) as connection:
            cursor = connection.cursor()
            cursor.execute("SHOW DATABASES")
            return None if ("default",) in cursor.fetchall() else "Hive has no database"
    except DatabaseError as error:
        if "Connection limit per user reached" in str(error):
            # after a full disk it counts sessions that it could not open, until it is started anew
            raise ConnectionError(f"it opens no session any more: {error}") from error
        return f"Hive refuses a session or SHOW DATABASES: {error}"


def _databases(protocol: TBinaryProtocol) -> list[str]:
    """`get_all_databases` of Hive's hive_metastore.thrift, by hand: a generated client would be 70,000 lines."""
    protocol.writeMessageBegin("get_all_databases", TMessageType.CALL, 1)
    protocol.writeFieldStop()
    protocol.writeMessageEnd()
    protocol.trans.flush()
    protocol.readMessageBegin()
    _, kind, _ = protocol.readFieldBegin()
    if kind != TType.LIST:
        return []
    _, size = protocol.readListBegin()
    return [protocol.readString() for _ in range(size)]


def _bean(address: str, name: str) -> dict[str, str]:
    beans: list[dict[str, str]] = _json(f"http://{address}/jmx?qry={name}")["beans"]
    return beans[0]


def _json(url: str) -> Any:
    with DIRECT.open(url, timeout=TIMEOUT) as answer:
        return json.load(answer)


CHECKS: dict[str, Callable[[], str | None]] = {
    check.__name__: check for check in (namenode, datanode, resourcemanager, nodemanager, metastore, hiveserver2)
}


def needs_are_well(daemon: str) -> bool:
    """Whether what a daemon of this deployment needs to answer is well, so that its silence is its own."""
    try:
        if daemon == "metastore":
            return postgres(os.environ["STACK_METASTORE_DB_URL"].split("/")[2])
        if daemon == "hiveserver2":
            store = str(urlsplit(os.environ["STACK_METASTORE_URIS"]).hostname)
            others = (
                namenode(os.environ["STACK_NAMENODE_HOST"]),
                resourcemanager(os.environ["STACK_RESOURCEMANAGER_HOST"]),
            )
            return (*others, metastore(store)) == (None, None, None)
    except (*SILENCE, LookupError, ValueError, TypeError):
        return False
    return True


def postgres(host: str) -> bool:
    """Whether PostgreSQL answers the question for TLS, by which a connection may begin: S or N."""
    with create_connection((host, 5432), TIMEOUT) as connection:
        connection.sendall(struct.pack("!ii", 8, 80877103))
        return connection.recv(1) in (b"S", b"N")


def examine(daemon: str, relay: bool) -> tuple[int, str]:
    """The exit code, and what is wrong."""
    try:
        trouble = CHECKS[daemon]()
    except HTTPError as error:
        return 1, f"{daemon} says {error.code}"
    except SILENCE as error:
        words = f"{daemon} does not answer: {type(error).__name__}: {error}"
        return HUNG if not relay and needs_are_well(daemon) else 1, words
    except (LookupError, ValueError, TypeError) as error:
        return 1, f"{daemon} gives an answer that makes no sense: {type(error).__name__}: {error}"
    return (1, trouble) if trouble else (0, "")


if __name__ == "__main__":
    code, words = examine(sys.argv[1], sys.argv[2:] == ["relay"])
    if words:
        sys.stderr.write(f"{words}\n")
    sys.exit(code)
