from __future__ import annotations

import requests

from upbit_elt.settings import Settings
from upbit_elt.stack import health
from upbit_elt.stack.options import StackSettings
from upbit_elt.warehouse.hive import Hive


def webhdfs(settings: Settings, path: str, operation: str) -> str:
    return f"{settings.webhdfs_url}/webhdfs/v1{path}?op={operation}&user.name={settings.webhdfs_user}"


def test_a_file_written_over_webhdfs_is_a_table_in_hive(daemons: Settings) -> None:
    written = requests.put(
        webhdfs(daemons, "/test/daemons/rows.csv", "CREATE&overwrite=true"), data=b"1,a\n2,b\n", timeout=30
    )
    assert written.status_code == 201
    hive = Hive.from_settings(daemons)
    hive.execute(
        "CREATE DATABASE IF NOT EXISTS test_daemons",
        "CREATE EXTERNAL TABLE IF NOT EXISTS test_daemons.rows_ (n INT, s STRING) "
        f"ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION '{daemons.hdfs_uri}/test/daemons'",
    )
    assert hive.query("SELECT n, s FROM test_daemons.rows_ ORDER BY n DESC") == [(2, "b"), (1, "a")]


def test_writers_are_sent_to_the_datanode_of_this_stack(daemons: Settings, daemon_stack: StackSettings) -> None:
    target = health.write_target(daemons.webhdfs_url, daemons.webhdfs_user)
    assert target == f"http://127.0.0.1:{daemon_stack.datanode_http_port}"
    assert requests.get(webhdfs(daemons, "/_probe", "GETFILESTATUS"), timeout=5).status_code == 404


def test_hive_counts_a_file_that_arrived_after_the_table(daemons: Settings) -> None:
    hive = Hive.from_settings(daemons)
    hive.execute(
        "CREATE DATABASE IF NOT EXISTS test_daemons",
        f"CREATE EXTERNAL TABLE IF NOT EXISTS test_daemons.late (n INT) LOCATION '{daemons.hdfs_uri}/test/late'",
    )
    assert hive.query("SELECT count(*) FROM test_daemons.late") == [(0,)]
    for name in ("one", "two"):
        address = webhdfs(daemons, f"/test/late/{name}", "CREATE&overwrite=true")
        assert requests.put(address, data=b"1\n", timeout=30).status_code == 201
    assert hive.query("SELECT count(*) FROM test_daemons.late") == [(2,)]
