"""`health.py SERVICE`: exit 0 when the service can do its work, else one line that says why not."""

from __future__ import annotations

import json
import os
import sys
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

TIMEOUT = 15
DIRECT = build_opener(ProxyHandler({}))  # Docker's config.json may give every container a proxy
AIRFLOW = os.environ.get("UPBIT_AIRFLOW_URL", "http://airflow-apiserver:8080")
PARTS = {
    "airflow-apiserver": "metadatabase",
    "airflow-scheduler": "scheduler",
    "airflow-dag-processor": "dag_processor",
    "airflow-triggerer": "triggerer",
}


def airflow(part: str) -> str | None:
    """A part of Airflow as its API server sees it: running, with a recent heartbeat."""
    status = _json(f"{AIRFLOW}/api/v2/monitor/health")[part]["status"]
    return None if status == "healthy" else f"Airflow says of {part}: {status}"


def flask() -> str | None:
    """Reads HDFS and Hive. Not whether the candles are fresh: an exchange that is away is no container's fault."""
    _json("http://127.0.0.1:5000/readyz/services")
    return None


def replica() -> str | None:
    """Lists its markets."""
    return None if _json("http://127.0.0.1:8765/v1/market/all") else "the replica lists no market"


def _json(url: str) -> dict[str, dict[str, str]]:
    with DIRECT.open(url, timeout=TIMEOUT) as answer:
        found: dict[str, dict[str, str]] = json.load(answer)
        return found


def trouble(service: str) -> str | None:
    """What is wrong with a service, None when nothing is."""
    try:
        if service in PARTS:
            return airflow(PARTS[service])
        return flask() if service == "flask" else replica()
    except HTTPError as error:
        return f"{service} says {error.code}: {error.read().decode()[:300]}"
    except (OSError, HTTPException, LookupError, ValueError, TypeError) as error:
        return f"{service} does not answer: {type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(trouble(sys.argv[1]))
