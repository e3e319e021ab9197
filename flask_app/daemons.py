"""State of the NameNode: space in HDFS, DataNodes, heap. It is read from `/jmx`, which touches no file."""

from __future__ import annotations

from typing import Any, NamedTuple

import requests

from upbit_elt import direct

TIMEOUT = 3.0
_STATE, _MEMORY = "Hadoop:service=NameNode,name=FSNamesystemState", "java.lang:type=Memory"


class NameNode(NamedTuple):
    """Capacity and free space of HDFS and the heap, in bytes, and the numbers of live and dead DataNodes."""

    capacity: int
    free: int
    live: int
    dead: int
    heap_used: int
    heap_max: int


def namenode(webhdfs_url: str) -> NameNode | None:
    """State of the first NameNode of a WebHDFS address; None when it does not answer, or not in the expected form."""
    url = webhdfs_url.split(";", maxsplit=1)[0]
    try:
        state, heap = _bean(url, _STATE), _bean(url, _MEMORY)["HeapMemoryUsage"]
        return NameNode(
            int(state["CapacityTotal"]),
            int(state["CapacityRemaining"]),
            int(state["NumLiveDataNodes"]),
            int(state["NumDeadDataNodes"]),
            int(heap["used"]),
            int(heap["max"]),
        )
    except (requests.RequestException, LookupError, TypeError, ValueError):
        return None


def _bean(url: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = direct.request("GET", f"{url}/jmx", params={"qry": name}, timeout=TIMEOUT).json()["beans"][
        0
    ]
    return found
