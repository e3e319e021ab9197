"""Callbacks that each DAG file attaches to its tasks: they measure how tasks end and report errors.

This module imports little, because Airflow parses DAG files often.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

Callback = Callable[[Mapping[str, Any]], None]


def reported(valid_for: timedelta) -> dict[str, Callback]:
    """Callbacks for a DAG's `default_args`.

    Whenever a task ends, its duration and measurements are added to the sums of `/metrics`. The error of a task that
    has no retry left is written into the lake, and is shown for `valid_for`: a little longer than two intervals of the
    DAG. The webhook gets a line for it, and another when the task succeeds again.
    """

    def failed(context: Mapping[str, Any]) -> None:
        from upbit_elt import airflow_glue  # noqa: PLC0415 - only inside tasks

        airflow_glue.measure(context, "failed")
        airflow_glue.report_failure(context, valid_for)

    def succeeded(context: Mapping[str, Any]) -> None:
        from upbit_elt import airflow_glue  # noqa: PLC0415 - only inside tasks

        airflow_glue.measure(context, "success")
        airflow_glue.report_success(context)

    return {
        "on_failure_callback": failed,
        "on_success_callback": succeeded,
        "on_skipped_callback": _measured("skipped"),
        "on_retry_callback": _measured("up_for_retry"),
    }


def _measured(state: str) -> Callback:
    def ended(context: Mapping[str, Any]) -> None:
        from upbit_elt import airflow_glue  # noqa: PLC0415 - only inside tasks

        airflow_glue.measure(context, state)

    return ended
