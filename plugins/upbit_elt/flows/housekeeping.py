"""The steps of the DAG `housekeeping`, daily: check every day of the lake, and remove what is past its time."""

from __future__ import annotations

from collections.abc import MutableMapping
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import SecretStr

from upbit_elt.clock import SystemClock
from upbit_elt.housekeeping import airflow_cleanup, lake
from upbit_elt.settings import Settings


def check_days(settings: Settings) -> list[str]:
    """Check that every day is registered and has its pending markers; returns what was missing.

    Raises:
        LakeError, WarehouseError: not all days were checked; run it again.
    """
    return lake.check_days(settings, SystemClock().now())


def clean_lake(settings: Settings, troubles: MutableMapping[str, str]) -> list[str]:
    """Remove from the lake what is past its time; returns the removed paths. `troubles` gets what failed, and why.

    Raises:
        LakeError, WarehouseError: HDFS or Hive do not answer; run it again.
    """
    return lake.clean_lake(settings, SystemClock().now(), troubles)


def would_go(settings: Settings, troubles: MutableMapping[str, str]) -> list[str]:
    """The paths that `clean_lake` would remove now; raises as it does."""
    return lake.would_go(settings, SystemClock().now(), troubles)


def clean_database(settings: Settings, url: SecretStr) -> None:
    """Remove rows older than `keep_airflow_days` from Airflow's database, given by its SQLAlchemy URL.

    Raises:
        CleanupFailed: a table could not be cleaned.
    """
    airflow_cleanup.clean_database(url, _before(settings))


def clean_logs(settings: Settings, folder: Path) -> int:
    """Remove logs of tasks older than `keep_airflow_days` from a folder; returns the number of files."""
    return airflow_cleanup.clean_logs(folder, _before(settings))


def _before(settings: Settings) -> datetime:
    return SystemClock().now() - timedelta(days=settings.keep_airflow_days)
