"""What each DAG file says of how its tasks end: it is measured, and an error is shown where people look.

Light: DAG files are parsed often.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

Callback = Callable[[Mapping[str, Any]], None]


def reported(valid_for: timedelta) -> dict[str, Callback]:
    """Callbacks for a DAG's `default_args`.

    However a task ends, its seconds and what it measured are added up for `/metrics`. The error of one that has failed
    for good is written into the lake and shown for `shown_for`: a little longer than two intervals of the DAG. The
    webhook is told of it, and when the task is well again.
    """

    def failed(context: Mapping[str, Any]) -> None:
        from upbit_elt import airflow_glue  # noqa: PLC0415 - only inside tasks

        airflow_glue.measure(context, "failed")
        airflow_glue.report_failure(context, valid_for)

    def well(context: Mapping[str, Any]) -> None:
        from upbit_elt import airflow_glue  # noqa: PLC0415 - only inside tasks

        airflow_glue.measure(context, "success")
        airflow_glue.report_success(context)

    return {
        "on_failure_callback": failed,
        "on_success_callback": well,
        "on_skipped_callback": _measured("skipped"),
        "on_retry_callback": _measured("up_for_retry"),
    }


def _measured(state: str) -> Callback:
    def ended(context: Mapping[str, Any]) -> None:
        from upbit_elt import airflow_glue  # noqa: PLC0415 - only inside tasks

        airflow_glue.measure(context, state)

    return ended
