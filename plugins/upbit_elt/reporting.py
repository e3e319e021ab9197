"""What each DAG file says: that its last error is to be shown where people look. Light: they are parsed often."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any


def reported(shown_for: timedelta) -> Callable[[Mapping[str, Any]], None]:
    """An `on_failure_callback`: writes the error of a task that has failed for good into the lake.

    It is shown for `shown_for`: a little longer than two intervals of the DAG.
    """

    def report(context: Mapping[str, Any]) -> None:
        from upbit_elt import airflow_glue  # noqa: PLC0415 - only inside tasks

        airflow_glue.report_failure(context, shown_for)

    return report
