"""The DAG files and the plugins folder, loaded as Airflow loads them, in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.dags import DAGS

REPO = Path(__file__).resolve().parents[3]
LOAD = """
import json, sys
import pendulum
from airflow import plugins_manager
from airflow.sdk.exceptions import ParamValidationError
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.encoders import coerce_to_core_timetable
from airflow.timetables.base import TimeRestriction

bag = DagBag(sys.argv[1])
everything = TimeRestriction(pendulum.datetime(2026, 11, 24), None, catchup=True)


def takes(name, value):
    try:
        bag.dags["backfill_candle"].params.get_param(name).resolve(value)
    except ParamValidationError:
        return False
    return True


first = coerce_to_core_timetable(bag.dags["min_candle"].timetable).next_dagrun_info(
    last_automated_data_interval=None, restriction=everything)
print("RESULT" + json.dumps({
    "dags": {name: {
        "catchup": dag.catchup, "max_active_runs": dag.max_active_runs,
        "pools": {task.task_id: task.pool for task in dag.tasks},
        "form": dag.params.dump(),
    } for name, dag in bag.dags.items()},
    "interval": [first.data_interval.start.isoformat(), first.data_interval.end.isoformat()],
    "taken": {text: takes(*json.loads(text)) for text in sys.argv[2:]},
    "import_errors": bag.import_errors,
    "plugins": [plugin["name"] for plugin in plugins_manager.get_plugin_info(["source"])],
    "plugin_errors": plugins_manager.get_import_errors(),
    "loaded": [name for name in ("torch", "pandas", "pyarrow", "upbit_elt.settings") if name in sys.modules],
}))
"""

# Fields of the backfill's form, and whether Airflow takes the value.
FORM = {
    '["start", "2026-11-01"]': True,
    '["start", "1.11.2026"]': False,
    '["start", 20261101]': False,
    '["end", null]': True,
    '["markets", ["KRW-BTC", "BTC-1INCH"]]': True,
    '["markets", ["krw-btc"]]': False,
    '["markets", "KRW-BTC"]': False,
    '["cancel", "202611010000-202611020000-all"]': True,
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("airflow")
    environment = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPO / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPO / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "PYTHONPATH": "",
    }
    command = [sys.executable, "-c", LOAD, str(REPO / "dags"), *FORM]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.rpartition("RESULT")[2])
    return result


def test_every_dag_loads(loaded: dict[str, Any]) -> None:
    assert loaded["import_errors"] == {}
    assert loaded["dags"].keys() == DAGS
    assert all(not dag["catchup"] and dag["max_active_runs"] == 1 for dag in loaded["dags"].values())


def test_every_dag_has_a_flow_of_its_name(loaded: dict[str, Any]) -> None:
    flows = {path.stem for path in (REPO / "plugins" / "upbit_elt" / "flows").glob("[a-z]*.py")}
    assert flows == loaded["dags"].keys() == {path.stem for path in (REPO / "dags").glob("*.py")}


def test_parsing_loads_nothing_heavy(loaded: dict[str, Any]) -> None:
    assert not {"torch", "pandas", "pyarrow"} & set(loaded["loaded"])


def test_the_package_is_no_plugin_but_the_link_is(loaded: dict[str, Any]) -> None:
    assert loaded["plugin_errors"] == {}
    assert "upbit_dashboard" in loaded["plugins"]
    assert "upbit_elt.settings" in loaded["loaded"], "plugins/ is on the path"


def test_collect_runs_in_the_one_slot_pool(loaded: dict[str, Any]) -> None:
    assert loaded["dags"]["min_candle"]["pools"] == {"collect": "upbit", "roll": "default_pool"}


def test_a_live_run_has_a_real_two_minute_interval(loaded: dict[str, Any]) -> None:
    assert loaded["interval"] == ["2026-11-24T00:00:00+00:00", "2026-11-24T00:02:00+00:00"]


def test_the_backfills_form_may_stay_empty_and_refuses_what_is_no_day_or_market(loaded: dict[str, Any]) -> None:
    assert loaded["dags"]["backfill_candle"]["form"] == dict.fromkeys(("start", "end", "markets", "cancel"))
    assert loaded["taken"] == FORM
