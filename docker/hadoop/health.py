"""`health.py DAEMON`: exit 0 when the daemon of this container can do its work, else one line that says why not."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from urllib.request import ProxyHandler, build_opener

from pyhive import hive
from pyhive.exc import DatabaseError
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.Thrift import TException, TMessageType, TType
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TBufferedTransport
from thrift_sasl import TSaslClientTransport

TIMEOUT = 15
DIRECT = build_opener(ProxyHandler({}))  # Docker's config.json may give every container a proxy


def namenode() -> str | None:
    """Answers WebHDFS and is out of safe mode."""
    state = _bean(9870, "Hadoop:service=NameNode,name=FSNamesystemState")["FSState"]
    return None if state == "Operational" else f"the NameNode is in {state}"


def datanode() -> str | None:
    """Registered at the NameNode."""
    port = int(os.environ.get("STACK_DATANODE_HTTP_PORT", "9864"))
    actors = json.loads(_bean(port, "Hadoop:service=DataNode,name=DataNodeInfo").get("BPServiceActorInfo") or "[]")
    running = any(actor["ActorState"] == "RUNNING" for actor in actors)
    return None if running else "the DataNode has not registered at the NameNode"


def resourcemanager() -> str | None:
    """Active."""
    state = _json("http://127.0.0.1:8088/ws/v1/cluster/info")["clusterInfo"]["state"]
    return None if state == "STARTED" else f"the ResourceManager is {state}"


def nodemanager() -> str | None:
    """Its disks are healthy and the ResourceManager counts it."""
    info = _json("http://127.0.0.1:8042/ws/v1/node/info")["nodeInfo"]
    if not info["nodeHealthy"]:
        return f"the NodeManager is unhealthy: {info['healthReport']}"
    node = f"http://{os.environ['STACK_RESOURCEMANAGER_HOST']}:8088/ws/v1/cluster/nodes/{info['id']}"
    state = _json(node)["node"]["state"]
    return None if state == "RUNNING" else f"the ResourceManager says the NodeManager is {state}"


def metastore() -> str | None:
    """Lists its databases, which it reads from PostgreSQL."""
    socket = TSocket("127.0.0.1", 9083)
    socket.setTimeout(TIMEOUT * 1000)
    transport = TBufferedTransport(socket)
    transport.open()
    try:
        return None if "default" in _databases(TBinaryProtocol(transport)) else "the metastore has no database"
    finally:
        transport.close()


def hiveserver2() -> str | None:
    """Lists the databases on a session with a password."""
    user, _, password = os.environ["STACK_HIVE_USERS"].split(",")[0].partition(":")
    socket = TSocket("127.0.0.1", 10000)
    socket.setTimeout(TIMEOUT * 1000)
    sasl = hive.get_installed_sasl(host="127.0.0.1", sasl_auth="PLAIN", username=user, password=password)
    connection = hive.Connection(thrift_transport=TSaslClientTransport(lambda: sasl, "PLAIN", socket), username=user)
    try:
        cursor = connection.cursor()
        cursor.execute("SHOW DATABASES")
        return None if ("default",) in cursor.fetchall() else "Hive has no database"
    finally:
        connection.close()


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


def _bean(port: int, name: str) -> dict[str, str]:
    beans: list[dict[str, str]] = _json(f"http://127.0.0.1:{port}/jmx?qry={name}")["beans"]
    return beans[0]


def _json(url: str) -> Any:
    with DIRECT.open(url, timeout=TIMEOUT) as answer:
        return json.load(answer)


CHECKS: dict[str, Callable[[], str | None]] = {
    check.__name__: check for check in (namenode, datanode, resourcemanager, nodemanager, metastore, hiveserver2)
}

if __name__ == "__main__":
    try:
        trouble = CHECKS[sys.argv[1]]()
    except (OSError, HTTPException, LookupError, ValueError, TypeError, TException, DatabaseError) as error:
        trouble = f"{sys.argv[1]} does not answer: {type(error).__name__}: {error}"
    sys.exit(trouble)
