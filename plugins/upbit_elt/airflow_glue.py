"""The only module of the package that uses Airflow: it turns Connections into settings and results into Variables.

It is imported inside tasks only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from airflow.sdk import Connection, Variable
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException, AirflowTaskTimeout
from airflow.sdk.log import mask_secret
from pydantic import SecretStr
from sqlalchemy import URL

from upbit_elt import direct
from upbit_elt.candle import MINUTE, day_start, kst_day
from upbit_elt.clock import SystemClock
from upbit_elt.collect.collected import Collected
from upbit_elt.errors import StateUnavailable, UpbitEltError
from upbit_elt.lake.dag_errors import DagError, in_one_line, report, trouble_key
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.metrics import TASK_SECONDS, MetricsFile
from upbit_elt.settings import Settings, settings
from upbit_elt.troubles import Troubles

# The drivers log every file and statement; without them a task's log says what the task did.
for driver in ("hdfs.client", "pyhive.hive"):
    logging.getLogger(driver).setLevel(logging.WARNING)

log = logging.getLogger(__name__)
WEBHDFS, HIVE, FLASK = "upbit_webhdfs", "upbit_hive", "upbit_flask"
AIRFLOW_DB = "upbit_airflow_db"


def deployment() -> Settings:
    """Settings from the environment, with hosts, users and passwords from the three Connections.

    A connection type or schema `https` selects https. The extra of `upbit_webhdfs` may be `{"webhdfs_auth": "token"}`
    (or `kerberos`); its password is then the token.
    """
    webhdfs, hive, flask = Connection.get(WEBHDFS), Connection.get(HIVE), Connection.get(FLASK)
    here = settings()
    return here.model_copy(
        update={
            "webhdfs_url": _url(webhdfs),
            "webhdfs_user": webhdfs.login or here.webhdfs_user,
            "webhdfs_auth": webhdfs.extra_dejson.get("webhdfs_auth", here.webhdfs_auth),
            "webhdfs_token": SecretStr(webhdfs.password) if webhdfs.password else here.webhdfs_token,
            "hive_host": hive.host,
            "hive_port": hive.port,
            "hive_user": hive.login,
            "hive_password": SecretStr(hive.password or ""),
            "flask_url": _url(flask),
            "flask_token": SecretStr(flask.password or ""),
        }
    )


def metadata_database() -> SecretStr | None:
    """SQLAlchemy URL of Airflow's own database; None where no Connection `upbit_airflow_db` names it.

    The environment cannot give it, because Airflow 3 replaces the URL there for tasks. The Connection's URI is the same
    text as `AIRFLOW__DATABASE__SQL_ALCHEMY_CONN`. Logs mask the URL.
    """
    try:
        known = Connection.get(AIRFLOW_DB)
    except AirflowNotFoundException:
        return None
    kind = "postgresql" if known.conn_type == "postgres" else known.conn_type
    query = {name: str(value) for name, value in known.extra_dejson.items()}
    parts = URL.create(kind, known.login, known.password, known.host or None, known.port, known.schema, query)
    url = parts.render_as_string(hide_password=False)
    mask_secret(url)
    return SecretStr(url)


def log_folder() -> Path:
    """Folder in which Airflow keeps the logs of its tasks."""
    return Path(conf.get("logging", "base_log_folder"))


def _url(connection: Connection) -> str:
    scheme = "https" if "https" in {connection.conn_type, connection.schema} else "http"
    port = f":{connection.port}" if connection.port else ""
    return f"{scheme}://{connection.host}{port}"


@contextmanager
def no_late_retry(early: timedelta) -> Iterator[None]:
    """Disable the retry of a failure later than `early` after the block began: the next scheduled run replaces it."""
    began = time.monotonic()
    try:
        yield
    except (UpbitEltError, AirflowTaskTimeout) as error:
        if time.monotonic() - began <= early.total_seconds():
            raise
        raise AirflowFailException(f"{type(error).__name__}: {error} (the next run does it)") from error


def to_xcom(collected: Collected) -> dict[str, Any]:
    """The result of a live run as an XCom, for the task `roll` and for people in the UI; times are UTC, ISO 8601."""
    row = asdict(collected) | {
        "start": collected.start.isoformat(),
        "end": collected.end.isoformat(),
        "holes": list(collected.holes[:20]),
        "new_fields": list(collected.new_fields),
        "files": [published._asdict() for published in collected.files],
    }
    row["file_name"] = collected.files[-1].file_name if collected.files else None
    return row


def fail_with(troubles: Mapping[str, str]) -> None:
    """Fail a task that has done the rest of its work because of `troubles` (reason by name), so that they are seen.

    Raises:
        AirflowFailException: there is a trouble; an immediate retry would not help.
    """
    if troubles:
        words = "; ".join(f"{name}: {trouble}" for name, trouble in troubles.items())
        raise AirflowFailException(f"all else was done, but {words}")


def measure(context: Mapping[str, Any], state: str) -> None:
    """Add a task's duration, and all that its process has measured, to the sums that `/metrics` shows.

    `context` is what Airflow gives a callback, `state` how the task ended. A failure to add is only logged.
    """
    task, now = context["ti"], datetime.now(UTC)
    # for a killed task the DAG processor runs the callback, without its dates
    began, ended = getattr(task, "start_date", None), getattr(task, "end_date", None)
    seconds = ((ended or now) - (began or now)).total_seconds()
    # both states exist from the first run on, because a rate needs the 0 before the first failure
    seconds_by = {name: TASK_SECONDS.labels(task.dag_id, task.task_id, name) for name in ("success", "failed")}
    seconds_by.get(state, TASK_SECONDS.labels(task.dag_id, task.task_id, state)).observe(seconds)
    try:
        MetricsFile(settings().state_dir).add()
    except (UpbitEltError, OSError) as error:
        log.warning("the measurements of %s are lost: %s", task.dag_id, error)


def report_failure(context: Mapping[str, Any], valid_for: timedelta) -> None:
    """Write the error of a failed task into the lake, and send it to the webhook.

    Page, status and `./run` show it for `valid_for`. The Flask service sends it, or this process when that does not
    answer. `context` is what Airflow gives an `on_failure_callback`. When HDFS does not answer, nothing is written, and
    the log has both errors.
    """
    now, task = datetime.now(UTC), context["ti"]
    error = DagError(
        task.dag_id, task.task_id, task.run_id, now, now + valid_for, in_one_line(context.get("exception"))
    )
    here = deployment()
    try:
        report(Lake.from_settings(here), error)
    except UpbitEltError as trouble:
        log.warning("the error of %s cannot be written to the lake: %s", task.dag_id, trouble)
    if not _reported_to_flask(here, error):
        _notify(here, error)


def report_success(context: Mapping[str, Any]) -> None:
    """End the trouble of a task that had failed and now succeeded.

    On a worker without the state folder of the Flask service, the trouble ends at its `until` instead.
    """
    task = context["ti"]
    try:
        Troubles.from_settings(settings(), SystemClock()).end(trouble_key(task.dag_id, task.task_id))
    except (UpbitEltError, OSError) as error:
        log.warning("the success of %s cannot be stored: %s", task.dag_id, error)


def _reported_to_flask(here: Settings, error: DagError) -> bool:
    header = {"Authorization": f"Bearer {here.flask_token.get_secret_value()}"}
    try:
        response = direct.request(
            "POST", f"{here.flask_url}/api/v1/troubles", data=error.to_json(), headers=header, timeout=5.0
        )
    except requests.RequestException as trouble:
        log.warning("%s does not answer (%s): this process notifies", here.flask_url, type(trouble).__name__)
        return False
    return response.ok


def _notify(here: Settings, error: DagError) -> None:
    try:
        troubles = Troubles.from_settings(here, SystemClock())
        troubles.report(error.trouble)
        troubles.notify(error.trouble.key)
    except (StateUnavailable, OSError) as trouble:
        log.warning("the trouble cannot be stored or sent: %s", trouble)


def advance_variables(window: dict[str, Any]) -> None:
    """Set the Variables `to_date` (the KST day being filled, yyMMdd) and `y_date` (the day before it that has data).

    They are for people and old DAGs; this project does not read them.
    """
    days = sorted({published["day"] for published in window["files"]})
    if not days:
        return
    before = Variable.get("to_date", default="")
    if days[-1] > before:  # a cleared old run does not set the days back
        Variable.set("y_date", before or kst_day(day_start(days[-1]) - MINUTE))
        Variable.set("to_date", days[-1])
