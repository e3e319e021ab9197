"""`health.py SERVICE`: exit 0 when the service can do its work, else one line that says why not.

Exit 3: it gives no answer or has no heartbeat, though what it needs is well, so it hangs; docker/watchdog.sh ends it if
that lasts.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

TIMEOUT = 10
HUNG = 3
DIRECT = build_opener(ProxyHandler({}))  # Docker's config.json may give every container a proxy
AIRFLOW = os.environ.get("UPBIT_AIRFLOW_URL", "http://airflow-apiserver:8080")
PARTS = {
    "airflow-apiserver": "metadatabase",
    "airflow-scheduler": "scheduler",
    "airflow-dag-processor": "dag_processor",
    "airflow-triggerer": "triggerer",
}
SILENCE = (OSError, HTTPException)


class Hangs(Exception):
    """The service itself is silent; the words say how."""


def airflow(part: str) -> str | None:
    """A part of Airflow as its API server sees it: running, with a recent heartbeat."""
    parts = _json(f"{AIRFLOW}/api/v2/monitor/health")
    found, database = parts[part], parts.get("metadatabase", {}).get("status")
    words = f"Airflow says of {part}: {found['status']}"
    if found["status"] == "unhealthy" and part != "metadatabase" and database == "healthy":
        if part == "scheduler" and not _broker_is_well():  # its loop waits for Redis, if that has the tasks
            return f"{words}, and the broker does not answer"
        raise Hangs(f"{words}, no heartbeat since {found.get(f'latest_{part}_heartbeat')}")
    return None if found["status"] == "healthy" else words


def apiserver() -> str | None:
    """Airflow's API server answers and reaches its database."""
    try:
        return airflow("metadatabase")
    except HTTPError:
        raise
    except SILENCE as error:
        if not _database_is_well():
            return "the API server does not answer, nor does its database"
        raise Hangs(f"the API server does not answer: {type(error).__name__}: {error}") from error


def worker() -> str | None:
    """This container's Celery worker has a heartbeat: the loop that takes the tasks publishes one every 2 s.

    To ask it would load a Celery here, each time.
    """
    import redis  # noqa: PLC0415 - only this check has it

    name, until = f"celery@{socket.gethostname()}", time.monotonic() + TIMEOUT
    try:
        with redis.Redis.from_url(os.environ["AIRFLOW__CELERY__BROKER_URL"], socket_timeout=5) as broker:
            broker.ping()  # it answers, so that what does not come is not its fault
            with broker.pubsub(ignore_subscribe_messages=True) as events:
                events.psubscribe("*celeryev/worker.heartbeat")
                while (left := until - time.monotonic()) > 0:
                    heard = events.get_message(timeout=left)
                    if heard and json.loads(heard["data"])["headers"]["hostname"] == name:
                        return None
    except redis.RedisError as error:
        return f"the broker does not answer: {error}"
    raise Hangs(f"no heartbeat of {name}")


def flask() -> str | None:
    """Reads HDFS and Hive. Not whether the candles are fresh: an exchange that is away is no container's fault."""
    page = os.environ.get("UPBIT_PAGE", "http://127.0.0.1:5000")
    try:
        _json(f"{page}/healthz")
    except HTTPError:
        raise
    except SILENCE as error:
        if not _hdfs_and_hive_are_well():
            return "the page does not answer, nor do HDFS and Hive"
        raise Hangs(f"the page does not answer: {type(error).__name__}: {error}") from error
    _json(f"{page}/readyz/services")
    return None


def replica() -> str | None:
    """Lists its markets."""
    url = "http://127.0.0.1:8765"
    try:
        return None if _json(f"{url}/v1/market/all") else "the replica lists no market"
    except HTTPError:
        raise
    except SILENCE as error:
        raise Hangs(f"the replica does not answer: {type(error).__name__}: {error}") from error


def _database_is_well() -> bool:
    import psycopg2  # type: ignore[import-untyped] # noqa: PLC0415 - it is only asked when something is wrong

    address = os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "").replace("+psycopg2", "")
    try:
        connection = psycopg2.connect(address, connect_timeout=5, options="-c statement_timeout=5000")
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
                return bool(cursor.fetchone())
        finally:
            connection.close()
    except psycopg2.Error:
        return False


def _broker_is_well() -> bool:
    """Whether Redis answers, where Celery has the tasks."""
    if "Celery" not in os.environ.get("AIRFLOW__CORE__EXECUTOR", ""):
        return True
    import redis  # noqa: PLC0415 - as above

    try:
        with redis.Redis.from_url(os.environ["AIRFLOW__CELERY__BROKER_URL"], socket_timeout=5) as broker:
            return bool(broker.ping())
    except redis.RedisError:
        return False


def _hdfs_and_hive_are_well() -> bool:
    from upbit_elt.settings import Settings  # noqa: PLC0415 - as above
    from upbit_elt.stack import health  # noqa: PLC0415

    settings = Settings()
    user = settings.webhdfs_user
    checks = (health.namenode(settings.webhdfs_url), health.writable(settings.webhdfs_url, user))
    return not any(check() for check in (*checks, health.hiveserver2(settings)))


def _json(url: str) -> dict[str, dict[str, str]]:
    with DIRECT.open(url, timeout=TIMEOUT) as answer:
        found: dict[str, dict[str, str]] = json.load(answer)
        return found


CHECKS = {"airflow-apiserver": apiserver, "airflow-worker": worker, "flask": flask, "replica": replica}


def examine(service: str) -> tuple[int, str]:
    """The exit code, and what is wrong with a service."""
    try:
        trouble = CHECKS[service]() if service in CHECKS else airflow(PARTS[service])
    except Hangs as words:
        return HUNG, str(words)
    except HTTPError as error:
        return 1, f"{service} says {error.code}: {error.read().decode()[:300]}"
    except (*SILENCE, LookupError, ValueError, TypeError) as error:
        return 1, f"{service} does not answer: {type(error).__name__}: {error}"
    return (1, trouble) if trouble else (0, "")


if __name__ == "__main__":
    code, words = examine(sys.argv[1])
    if words:
        sys.stderr.write(f"{words}\n")
    sys.exit(code)
