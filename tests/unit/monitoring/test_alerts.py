"""The alert rules, tested by Prometheus' own promtool: each fires when it should, alone, and none when all is well."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from flask_app import alarm
from tests.support.prometheus import CONFIG, RULES, rules, tool
from upbit_elt.__main__ import main as steps
from upbit_elt.stack.cli import main as stack
from upbit_elt.stack.names import REPO

MINUTES = 60
AT = "45m"
HEALTHY = {
    'up{job="upbit"}': "1",
    "upbit_stale_after_seconds": "300",
    'upbit_candle_known_until_timestamp_seconds{quote="KRW",reach="most"}': "clock",
    'upbit_candle_known_until_timestamp_seconds{quote="KRW",reach="all"}': "clock",
    'upbit_forecast_origin_timestamp_seconds{quote="KRW"}': "clock",
    "upbit_forecast_coverage_90": "0.91",
    'upbit_markets{quote="KRW",state="fresh"}': "100",
    'upbit_markets{quote="KRW",state="stale"}': "0",
    'upbit_markets{quote="KRW",state="gone"}': "3",
    'upbit_hole_minutes{reason="not_listed_yet"}': "7",
    "upbit_quarantine_markets": "2",
    "upbit_exchange_ban_seconds": "0",
    'upbit_exchange_request_seconds_count{group="candles",outcome="ok"}': "0+200",
    'upbit_exchange_request_seconds_count{group="candles",outcome="rate_limited"}': "0+1",
    'upbit_exchange_request_seconds_count{group="candles",outcome="unreachable"}': "0+5",
    'upbit_task_seconds_count{dag="min_candle",task="roll",state="success"}': "0+1",
    'upbit_task_seconds_count{dag="min_candle",task="roll",state="failed"}': "2",
    "upbit_services_up": "1",
    "upbit_watch_timestamp_seconds": "clock",
    'upbit_webhdfs_seconds_bucket{operation="list",le="0.1"}': "0+99",
    'upbit_webhdfs_seconds_bucket{operation="list",le="5"}': "0+100",
    'upbit_webhdfs_seconds_bucket{operation="list",le="+Inf"}': "0+100",
    'upbit_hive_seconds_bucket{operation="query",le="1"}': "0+99",
    'upbit_hive_seconds_bucket{operation="query",le="30"}': "0+100",
    'upbit_hive_seconds_bucket{operation="query",le="+Inf"}': "0+100",
    "upbit_disk_free_bytes": "30",
    "upbit_disk_size_bytes": "100",
    "upbit_hdfs_free_bytes": "30",
    "upbit_hdfs_capacity_bytes": "100",
    'upbit_hdfs_datanodes{state="dead"}': "0",
    "upbit_namenode_heap_used_bytes": "30",
    "upbit_namenode_heap_max_bytes": "100",
    "upbit_state_folder_up": "1",
    "upbit_webhook_waiting": "0",
    "upbit_backup_timestamp_seconds": "0",
}
# What differs from that, by the alert that then fires, and the only one.
TROUBLE = {
    "CandlesStale": {
        'upbit_candle_known_until_timestamp_seconds{quote="KRW",reach="most"}': "stops",
        'upbit_forecast_origin_timestamp_seconds{quote="KRW"}': "stops",
        'upbit_markets{quote="KRW",state="stale"}': "20",
    },
    "MarketsStale": {'upbit_markets{quote="KRW",state="stale"}': "1"},
    "ForecastsStale": {'upbit_forecast_origin_timestamp_seconds{quote="KRW"}': "stops"},
    "CoverageOff": {"upbit_forecast_coverage_90": "0.97"},
    "HolesOpen": {'upbit_hole_minutes{reason="unreachable"}': "4"},
    "QuarantineFull": {"upbit_quarantine_markets": "11"},
    "Banned": {"upbit_exchange_ban_seconds": "60"},
    "RateLimited": {'upbit_exchange_request_seconds_count{group="candles",outcome="rate_limited"}': "0+10"},
    "ExchangeFails": {'upbit_exchange_request_seconds_count{group="candles",outcome="unreachable"}': "0+100"},
    "NoLiveRun": {'upbit_task_seconds_count{dag="min_candle",task="roll",state="success"}': "77"},
    "TaskFailed": {'upbit_task_seconds_count{dag="prove_day",task="prove",state="failed"}': "late"},
    "PageAway": {'up{job="upbit"}': "0"},
    "ServicesAway": {"upbit_services_up": "0"},
    "WatchStopped": {"upbit_watch_timestamp_seconds": "stops"},
    "WebhookSilent": {"upbit_webhook_waiting": "1"},
    "HdfsSlow": {'upbit_webhdfs_seconds_bucket{operation="list",le="0.1"}': "0+50"},
    "HiveSlow": {'upbit_hive_seconds_bucket{operation="query",le="1"}': "0+50"},
    "DiskNearlyFull": {"upbit_hdfs_free_bytes": "9"},
    "DataNodeDead": {'upbit_hdfs_datanodes{state="dead"}': "1"},
    "HeapNearlyFull": {"upbit_namenode_heap_used_bytes": "95"},
    "BackupOld": {"upbit_backup_timestamp_seconds": "-100000"},
    "StateFolderAway": {"upbit_state_folder_up": "0"},
}


def values(kind: str) -> str:
    """Samples of one hour, one a minute, in promtool's notation; its clock begins at 0."""
    if kind == "clock":
        return f"0+60x{MINUTES}"
    if kind == "stops":
        return f"0+60x15 900x{MINUTES - 16}"
    if kind == "late":
        return f"0x30 1x{MINUTES - 31}"
    return f"{kind}x{MINUTES}"


def case(name: str, trouble: dict[str, str], fires: list[str]) -> dict[str, Any]:
    series = [
        {"series": _of_instance(one), "values": values(kind)} for one, kind in sorted((HEALTHY | trouble).items())
    ]
    expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in fires]
    expr = 'count by (alertname) (ALERTS{alertstate="firing"})'
    test = {"expr": expr, "eval_time": AT, "exp_samples": expected}
    return {"name": name, "interval": "1m", "input_series": series, "promql_expr_test": [test]}


def _of_instance(series: str) -> str:
    name, _, labels = series.rstrip("}").partition("{")
    labels = ",".join(filter(None, (labels, 'instance="here"')))
    return f"{name}{{{labels}}}"


def promtool(*arguments: str) -> str:
    done = subprocess.run([str(tool("promtool")), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_and_the_configuration_are_valid() -> None:
    assert f"{len(TROUBLE)} rules found" in promtool("check", "config", str(CONFIG))


def test_each_alert_fires_alone_and_none_when_all_is_well(tmp_path: Path) -> None:
    cases = [case("healthy", {}, []), *(case(alert, series, [alert]) for alert, series in TROUBLE.items())]
    document = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": cases}
    (tmp_path / "test.yml").write_text(json.dumps(document))
    promtool("test", "rules", str(tmp_path / "test.yml"))


def test_every_alert_has_a_case_and_a_section_in_the_runbook() -> None:
    runbook = (REPO / "docs" / "runbook.md").read_text()
    assert list(rules()) == list(TROUBLE)
    assert re.findall(r"^### (\w+)$", runbook, re.MULTILINE) == list(rules())


@pytest.mark.parametrize("alert", list(TROUBLE))
def test_every_alert_says_what_it_is_in_one_line(alert: str) -> None:
    rule = rules()[alert]
    assert rule["labels"]["severity"] in ("page", "warning")
    assert "\n" not in rule["annotations"]["summary"]


@pytest.mark.parametrize("alert", list(TROUBLE))
def test_alerts_say_what_is_true_while_they_are_pending_too(alert: str) -> None:
    """How long it has lasted is `for`, which a pending alert has not lasted; Prometheus shows both states."""
    rule = rules()[alert]
    lasted = re.search(r"for (\d+ minutes|half an hour|an hour)", rule["annotations"]["summary"])
    assert lasted is None or "for" not in rule


def test_every_command_of_the_runbook_exists() -> None:
    runbook = (REPO / "docs" / "runbook.md").read_text()
    named = set(re.findall(r"(\./run|-m upbit_elt) ([a-z]+)", runbook))
    known = {("./run", name) for name in stack.commands} | {("-m upbit_elt", name) for name in steps.commands}
    assert named <= known


def test_webhook_and_alerts_have_the_same_limits() -> None:
    text = RULES.read_text()

    def limits(before: str) -> set[float]:
        return {float(number) for number in re.findall(rf"{re.escape(before)} ([\d.e]+)", text)}

    assert limits("upbit_quarantine_markets > on (instance)") == {alarm.QUARANTINE}
    assert limits("upbit_disk_size_bytes <") | limits("upbit_hdfs_capacity_bytes <") == {alarm.FREE}
    assert limits("upbit_disk_free_bytes <") | limits("upbit_hdfs_free_bytes <") == {alarm.ROOM}
