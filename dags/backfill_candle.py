"""After each live run, fetches a chunk of older history, newest day first, until nothing is missing.

**To fetch more**, trigger this DAG and fill in the form: first and last KST day, and the markets (none: all that are
collected). A long request is continued by the runs that follow, also after a restart; each run's return value lists
the open requests. **To cancel**, trigger it with the request's ID in the form's last field; candles that were fetched
stay.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, Param, dag, get_current_context, task

from upbit_elt.reporting import reported

PARAMS = {
    "start": Param(
        None,
        type=["null", "string"],
        format="date",
        title="First day (KST)",
        description="Empty: no new request; the run continues the open ones.",
    ),
    "end": Param(
        None,
        type=["null", "string"],
        format="date",
        title="Last day (KST), included",
        description="Empty: until now.",
    ),
    "markets": Param(
        None,
        type=["null", "array"],
        items={"type": "string", "pattern": "^[A-Z0-9]+-[A-Z0-9]+$"},
        title="Markets",
        description="One per line, as KRW-BTC. Empty: all that are collected.",
    ),
    "cancel": Param(
        None,
        type=["null", "string"],
        title="Cancel the request with this ID",
        description="As a run's return value names it. Candles that were fetched stay.",
    ),
}


@dag(
    dag_id="backfill_candle",
    schedule=[Asset("upbit_candle")],
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    default_args={
        **reported(timedelta(minutes=15)),
        "retries": 2,
        "retry_delay": timedelta(seconds=10),
    },
    tags=["upbit"],
    doc_md=__doc__,
)
def backfill_candle() -> None:
    @task(execution_timeout=timedelta(minutes=5))
    def fill() -> dict[str, Any]:
        """Add the form's request to the backfill queue, then work until shortly before the next live run."""
        from airflow.sdk.exceptions import AirflowFailException

        from upbit_elt import airflow_glue
        from upbit_elt.errors import ConfigError, UnknownMarket
        from upbit_elt.flows import backfill_candle

        context = get_current_context()
        here = airflow_glue.deployment()
        try:
            # `run_after` is when the form was sent, also for a task that is tried again.
            backfill_candle.take_form(here, context["params"], context["run_id"], context["dag_run"].run_after)
        except (ConfigError, UnknownMarket) as wrong:
            raise AirflowFailException(str(wrong)) from wrong  # a retry would fail in the same way
        progress = backfill_candle.go_on(here, context["run_id"])
        airflow_glue.fail_with(progress.troubles)
        return backfill_candle.summary(progress)

    fill()


backfill_candle()
