from __future__ import annotations

import pytest
import requests

from upbit_elt.lake.connect import CSRF_HEADER
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.stack import health
from upbit_elt.stack.options import StackSettings
from upbit_elt.warehouse.hive import Hive


def webhdfs(settings: Settings, path: str, operation: str) -> str:
    return f"{settings.webhdfs_url}/webhdfs/v1{path}?op={operation}&user.name={settings.webhdfs_user}"


def test_a_file_written_over_webhdfs_is_a_table_in_hive(daemons: Settings) -> None:
    written = requests.put(
        webhdfs(daemons, "/test/daemons/rows.csv", "CREATE&overwrite=true"),
        data=b"1,a\n2,b\n",
        headers=CSRF_HEADER,
        timeout=30,
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
        assert requests.put(address, data=b"1\n", headers=CSRF_HEADER, timeout=30).status_code == 201
    assert hive.query("SELECT count(*) FROM test_daemons.late") == [(2,)]


@pytest.mark.parametrize("client", ["Mozilla/5.0", "curl/8", ""])
@pytest.mark.parametrize(
    ("method", "operation"),
    [
        ("POST", "TRUNCATE&newlength=0"),
        ("POST", "CONCAT&sources=/test/page/b"),
        ("PUT", "CREATE&overwrite=true"),
        ("PUT", "RENAME&destination=/test/page/c"),
        ("PUT", "SETPERMISSION&permission=777"),
        ("DELETE", "DELETE"),
    ],
)
def test_without_the_header_that_a_page_cannot_send_nothing_is_changed(
    daemons: Settings, method: str, operation: str, client: str
) -> None:
    lake = Lake.from_settings(daemons)
    lake.delete("/test/page")
    lake.create("/test/page/a", b"seven")
    address = webhdfs(daemons, "/test/page/a", operation)
    agent = {"User-Agent": client}
    response = requests.request(method, address, headers=agent, data=b"", allow_redirects=False, timeout=30)
    assert response.status_code == 400
    assert lake.read("/test/page/a") == b"seven"


def test_the_datanode_requires_the_header_too(daemons: Settings, daemon_stack: StackSettings) -> None:
    direct = f"http://127.0.0.1:{daemon_stack.datanode_http_port}/webhdfs/v1/test/direct?op=CREATE&user.name=hdfs"
    address = f"{direct}&namenoderpcaddress=127.0.0.1:{daemon_stack.namenode_port}&overwrite=true"
    page = {"User-Agent": "Mozilla/5.0"}
    assert requests.put(address, headers=page, data=b"x", timeout=30).status_code == 400
    assert Lake.from_settings(daemons).size("/test/direct") is None
    assert requests.put(address, headers=page | CSRF_HEADER, data=b"x", timeout=30).status_code == 201
