"""What a BI tool meets at a HiveServer2 with users: sessions that stay, a real JDBC driver, the days a query reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.guarded import (
    PASSWORDS,
    USERS,
    GuardedHive,
    guarded_settings,
    guarded_stack,
    hiveserver2,
    jdk,
    readme_queries,
)
from upbit_elt.errors import UpbitEltError
from upbit_elt.settings import Settings
from upbit_elt.stack import jars
from upbit_elt.stack.names import REPO
from upbit_elt.stack.options import StackSettings
from upbit_elt.warehouse import tables

# Two minutes on a server of its own; ./test has the calls of drivers over Thrift in test_hive_users.py.
pytestmark = pytest.mark.soak
LAKE, BI = "upbit_lake_replica_tools", "upbit_bi_replica_tools"
DAYS = {"261123": "2026-11-23", "261124": "2026-11-24", "261125": "2026-11-25"}
SESSIONS = 12  # of a user, here
HOUR = 3600
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": HOUR, "d": 24 * HOUR}


@dataclass(frozen=True)
class Server(GuardedHive):
    """The server, its process, and the jars of its own classpath."""

    pid: int
    jars: Path


@pytest.fixture(scope="module")
def server(
    daemons: Settings, daemon_stack: StackSettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server with users, and three days with a candle each, at midnight UTC."""
    stack = guarded_stack(daemon_stack, tmp_path_factory.mktemp("tools"))
    settings = guarded_settings(stack, dataset="replica_tools")
    # HADOOP_USER_NAME as in docker compose: Hive must not take it for somebody to act on behalf of
    given = {"STACK_HIVE_USERS": USERS, "STACK_HIVE_SESSIONS": str(SESSIONS), "HADOOP_USER_NAME": "hive"}
    with hiveserver2(stack, settings, given) as pid:
        made = Server(settings, pid, stack.jars / "hive")
        with made.user("upbit").session() as hive:
            for day, dt in DAYS.items():
                for kind in ("candle", "forecast", "reconciliation", "score"):
                    tables.ensure_day(hive, settings, kind, day, f"/replica_tools/{kind}/{day}/day-1")
                row = f"'KRW-BTC', '{dt}T00:00:00', '{dt}T09:00:00', 1, 2, 3, 4, 5, 6, 7, 1"
                hive.execute(f"INSERT INTO {LAKE}.candle_{day} VALUES ({row})")
        yield made


def test_a_session_stays_for_a_workday_and_a_query_does_not(server: Server) -> None:
    def seconds(name: str) -> float:
        ((line,),) = server.user("tableau").query(f"SET {name}")
        number, unit = re.fullmatch(rf"{re.escape(name)}=(\d+)(\w+)", line).groups()  # type: ignore[union-attr]
        return int(number) * UNITS[unit]

    assert seconds("hive.server2.idle.session.timeout") >= 8 * HOUR
    limit = seconds("hive.query.timeout.seconds")
    assert 0 < limit < server.settings.keep_generations_hours * HOUR, "what a query reads stays as long as it runs"
    assert seconds("hive.server2.idle.operation.timeout") >= limit


def test_a_user_has_so_many_sessions_and_one_that_is_closed_makes_room(server: Server) -> None:
    with ExitStack() as held:
        opened = [held.enter_context(server.user("ann").session()) for _ in range(SESSIONS)]
        with pytest.raises(UpbitEltError, match="Connection limit per user reached"):
            server.user("ann").query("SELECT 1")
        assert server.user("tableau").query("SELECT 1") == [(1,)]
        assert [hive.query("SELECT 1") for hive in opened] == [[(1,)]] * SESSIONS
    assert server.user("ann").query("SELECT 1") == [(1,)]


def test_sessions_that_are_over_leave_little_behind(server: Server) -> None:
    """Each has settings of its own, 0.4 MB: what is kept of them must not grow with how many there were."""
    tableau = server.user("tableau")

    def settings_kept(sessions: int) -> int:
        for _ in range(sessions):
            tableau.query("SELECT 1")
        alive = jdk("jcmd", str(server.pid), "GC.class_histogram")  # after a collection
        found = re.search(r"\s(\d+)\s+\d+\s+org\.apache\.hadoop\.hive\.conf\.HiveConf$", alive, re.MULTILINE)
        assert found is not None
        return int(found[1])

    before = settings_kept(30)
    assert settings_kept(60) - before < 30


@pytest.fixture(scope="module")
def driver(server: Server, shared_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Classpath of Hive's own JDBC driver and the program that makes DBeaver's requests."""
    jars.fetch_set(REPO / "tests" / "jdbc" / "pom.xml", shared_jars / "jdbc")
    classes = tmp_path_factory.mktemp("jdbc")
    jdk("javac", "--release", "17", "-d", str(classes), str(REPO / "tests" / "jdbc" / "JdbcWalk.java"))
    return f"{classes}:{shared_jars / 'jdbc'}/*:{server.jars}/*"


def walked(server: Server, driver: str, zone: str, *statements: str) -> dict[str, list[str]]:
    """What the program found in this time zone, as `tableau`."""
    url = f"jdbc:hive2://127.0.0.1:{server.settings.hive_port}/{BI}"
    program = ("-cp", driver, f"-Duser.timezone={zone}", "JdbcWalk", url, "tableau", BI, *statements)
    lines = jdk("java", *program, given=PASSWORDS["tableau"]).splitlines()
    return {name: rows for name, *rows in (line.split("\t") for line in lines)}


def test_the_requests_of_a_jdbc_tool_succeed(server: Server, driver: str) -> None:
    queries = [sql.replace("upbit_bi.", f"{BI}.") for sql in readme_queries()]
    found = walked(server, driver, "America/New_York", *queries)
    assert {name: rows for name, rows in found.items() if "refused" in str(rows)} == {}
    assert found["product"] == ["Apache Hive|Hive JDBC"]
    assert {LAKE, BI} <= set(found["schemas"])
    assert found["schemas by name"] == [BI]
    assert found["tables"] == ["candle|VIEW", "forecast|VIEW", "reconciliation|VIEW", "score|VIEW"]
    assert found["views"] == ["candle", "forecast", "reconciliation", "score"]
    assert {"market|STRING", "candle_time_kst|TIMESTAMP", "low_price|DOUBLE", "dt|STRING"} <= set(found["columns"])
    assert {"STRING", "DOUBLE", "TIMESTAMP", "BIGINT"} <= set(found["types"])
    assert found["prepared"] == ["KRW-BTC|4.0"]
    assert found["temporary"] == ["a|1", "b|2"]
    assert found["statement 0"] == ["KRW-BTC|1"]
    assert found["statement 1"] == ["2026-11-24 09:00:00.0|4.0"]
    assert found["statement 2"] == [f"{dt}|3.0|2.0" for dt in DAYS.values()]


def test_new_york_and_seoul_see_the_same_wall_time(server: Server, driver: str) -> None:
    here, there = (walked(server, driver, zone) for zone in ("Asia/Seoul", "America/New_York"))
    assert (here.pop("zone"), there.pop("zone")) == (["Asia/Seoul"], ["America/New_York"])
    # Java has no text for a wall time that its zone skips; README says what to select instead
    assert here.pop("skipped hour") == ["2026-03-08 02:30:00.0|2026-03-08 02:30:00"]
    assert there.pop("skipped hour") == ["2026-03-08 03:30:00.0|2026-03-08 02:30:00"]
    assert here == there
    assert here["times"] == here["times as objects"] == ["2026-11-24 09:00:00.0|2026-11-24 00:00:00.0"]


@pytest.mark.parametrize(
    ("condition", "days"),
    [
        ("dt = '2026-11-24'", ["2026-11-24"]),
        ("dt >= '2026-11-24' AND candle_time_kst >= '2026-11-24 09:00:00'", ["2026-11-24", "2026-11-25"]),
        ("dt BETWEEN '2026-11-23' AND '2026-11-24' AND market = 'KRW-BTC'", ["2026-11-23", "2026-11-24"]),
        # Hive does not know that days follow from times: it derives no condition on one column from one on another.
        ("candle_time_kst >= '2026-11-25 00:00:00'", list(DAYS.values())),
    ],
)
def test_which_days_a_query_reads(server: Server, condition: str, days: list[str]) -> None:
    sql = f"SELECT market, trade_price FROM {BI}.candle WHERE {condition}"
    assert days_read(server, sql) == days


def test_each_query_of_the_readme_reads_its_days_alone(server: Server) -> None:
    for sql in readme_queries():
        read = days_read(server, sql.replace("upbit_bi.", f"{BI}."))
        assert read == (list(DAYS.values()) if "dt >= '2026-11-01'" in sql else ["2026-11-24"]), sql


def days_read(server: Server, sql: str) -> list[str]:
    """The partitions that Hive says it would read."""
    ((plan,),) = server.user("tableau").query(f"EXPLAIN DEPENDENCY {sql}")
    return sorted(part["partitionName"].rpartition("dt=")[2] for part in json.loads(plan)["input_partitions"])
