"""The one place where the package meets Airflow: Connections become settings, results become Variables.

Only imported inside tasks.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from airflow.sdk import Connection, Variable
from pydantic import SecretStr

from upbit_elt.candle import MINUTE, day_start, kst_day
from upbit_elt.collect.window import Collected
from upbit_elt.settings import Settings, settings

# The drivers name every file and statement they touch; a task's log should say what the task did.
for driver in ("hdfs.client", "pyhive.hive"):
    logging.getLogger(driver).setLevel(logging.WARNING)

WEBHDFS, HIVE, FLASK = "upbit_webhdfs", "upbit_hive", "upbit_flask"


def deployment() -> Settings:
    """The settings of the environment, with hosts, users and passwords from the three Connections."""
    webhdfs, hive, flask = Connection.get(WEBHDFS), Connection.get(HIVE), Connection.get(FLASK)
    return settings().model_copy(
        update={
            "webhdfs_url": f"http://{webhdfs.host}:{webhdfs.port}",
            "webhdfs_user": webhdfs.login,
            "hive_host": hive.host,
            "hive_port": hive.port,
            "hive_user": hive.login,
            "hive_password": SecretStr(hive.password or ""),
            "flask_url": f"http://{flask.host}:{flask.port}",
            "flask_token": SecretStr(flask.password or ""),
        }
    )


def to_xcom(collected: Collected) -> dict[str, Any]:
    """What `roll` and a person reading the UI need to know of a window; times are UTC, ISO 8601."""
    row = asdict(collected) | {
        "start": collected.start.isoformat(),
        "end": collected.end.isoformat(),
        "holes": list(collected.holes[:20]),
        "new_fields": list(collected.new_fields),
        "files": [published._asdict() for published in collected.files],
    }
    row["file_name"] = collected.files[-1].file_name if collected.files else None
    return row


def roll_variables(window: dict[str, Any]) -> None:
    """Keep Variables `to_date` (the KST day being filled, yyMMdd) and `y_date` (the day before it that has data).

    For people and old DAGs; nothing here reads them.
    """
    days = sorted({published["day"] for published in window["files"]})
    if not days:
        return
    before = Variable.get("to_date", default="")
    if days[-1] > before:  # a window that is cleared and run again does not turn the days back
        Variable.set("y_date", before or kst_day(day_start(days[-1]) - MINUTE))
        Variable.set("to_date", days[-1])
