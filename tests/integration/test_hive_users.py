"""Who may do what in Hive: `tableau` reads, `upbit` does everything, and nobody gets out of SQL.

The tables are of the release before (made without users, by a server without passwords); then the server of the
deployment starts on the same metastore.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from TCLIService import ttypes

from tests.support.guarded import (
    PASSWORDS,
    USERS,
    GuardedHive,
    guarded_settings,
    guarded_stack,
    hiveserver2,
    open_session,
    readme_queries,
)
from upbit_elt.errors import LoginFailed, QueryFailed
from upbit_elt.lake.layout import Kind
from upbit_elt.settings import Settings
from upbit_elt.stack.names import REPO
from upbit_elt.stack.options import StackSettings
from upbit_elt.warehouse import tables
from upbit_elt.warehouse.hive import Hive, Statements

LAKE, BI = "upbit_lake_replica_guarded", "upbit_bi_replica_guarded"
DAY = f"{LAKE}.candle_261124"
OLD, NEW = "/replica_guarded/candle/261124/day-1", "/replica_guarded/candle/261124/day-2"
# A format whose rows are the names of other files, which are then read.
SYMLINK = (
    "STORED AS INPUTFORMAT 'org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat' "
    "OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'"
)
OTHER_KINDS: tuple[Kind, ...] = ("forecast", "reconciliation", "score")
SUCCESS = (ttypes.TStatusCode.SUCCESS_STATUS, ttypes.TStatusCode.SUCCESS_WITH_INFO_STATUS)


def statements(name: str, settings: Settings) -> list[str]:
    """The statements of a file of tests/data/hive, one a line below its title."""
    names = {"lake": LAKE, "bi": BI, "day": DAY, "hdfs": settings.hdfs_uri, "symlink": SYMLINK}
    _, *lines = (REPO / "tests" / "data" / "hive" / f"{name}.sql").read_text().splitlines()
    return [line.format(**names) for line in lines]


@pytest.fixture(scope="module")
def guarded(
    daemons: Settings, daemon_stack: StackSettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardedHive]:
    """Tables that a server without users made, with one candle, and the server of the deployment on them."""
    stack = guarded_stack(daemon_stack, tmp_path_factory.mktemp("guarded"))
    settings = guarded_settings(stack, dataset="replica_guarded")
    before = Hive("127.0.0.1", stack.hive_port, "somebody", "anything", 60)
    with hiveserver2(stack, settings, {}), before.session() as session:
        tables.ensure_day(session, settings, "candle", "261124", OLD)
        for kind in OTHER_KINDS:
            tables.ensure_day(session, settings, kind, "261124", f"/replica_guarded/{kind}/261124/day-1")
        session.execute(f"INSERT INTO {DAY} VALUES {row('2026-11-24T09:00:00')}")
    with hiveserver2(stack, settings, {"STACK_HIVE_USERS": USERS}):
        made = GuardedHive(settings)
        with made.user("upbit").session() as session:
            session.execute("CREATE DATABASE private", "CREATE TABLE private.t (n INT)")
        yield made


def row(kst: str) -> str:
    return f"('KRW-BTC', '2026-11-24T00:00:00', '{kst}', 1, 2, 3, 4, 5, 6, 7, 1)"


def refusal(hive: Statements, sql: str) -> str | None:
    """Why a statement was refused; None when it was done."""
    try:
        hive.execute(sql)
    except QueryFailed as error:
        return str(error)
    return None


def done(hive: Hive, wanted: list[str]) -> list[str]:
    """Those that were done."""
    with hive.session() as session:
        return [sql for sql in wanted if refusal(session, sql) is None]


def everything(guarded: GuardedHive) -> list[Any]:
    """Databases, tables, where they point, their properties and rows, as the writer sees them."""
    with guarded.user("upbit").session() as hive:
        databases = [name for (name,) in hive.query("SHOW DATABASES")]
        names = [f"{base}.{name}" for base in databases for (name,) in hive.query(f"SHOW TABLES IN {base}")]
        described = [[name, *hive.query(f"DESCRIBE FORMATTED {name}")] for name in names]
        shown = hive.query(f"SHOW PARTITIONS {LAKE}.candle")
        return [databases, described, shown, hive.query(f"SELECT * FROM {DAY}"), hive.query("SHOW FUNCTIONS")]


def test_a_reader_reads_and_changes_nothing(guarded: GuardedHive) -> None:
    before = everything(guarded)
    assert (
        done(guarded.user("tableau"), [*statements("off", guarded.settings), *statements("writers", guarded.settings)])
        == []
    )
    assert everything(guarded) == before


def test_a_refusal_says_why(guarded: GuardedHive) -> None:
    with guarded.user("tableau").session() as hive:
        assert "user tableau may only read, not DROPTABLE" in str(refusal(hive, f"DROP TABLE {DAY}"))
        assert "not TOK_TABLEPROPERTIES" in str(
            refusal(hive, "CREATE TEMPORARY TABLE evil (n INT) TBLPROPERTIES ('a'='b')")
        )
        assert "the session alone, not system:a" in str(refusal(hive, "SET system:a=b"))


def test_statements_that_reach_out_of_sql_are_off_for_the_writer_too(guarded: GuardedHive) -> None:
    assert done(guarded.user("upbit"), statements("off", guarded.settings)) == []


@pytest.mark.parametrize("user", ["tableau", "upbit"])
def test_no_password_is_in_what_a_session_can_list(guarded: GuardedHive, user: str) -> None:
    with guarded.user(user).session() as hive:
        seen = [*hive.query("SET"), *hive.query("SET -v"), *hive.query("SELECT '${env:STACK_HIVE_USERS}'")]
    assert len(seen) > 1000
    assert any("env:STACK_HIVE_PORT" in str(line) for line in seen), "the environment is in it"
    assert not [line for line in seen for password in PASSWORDS.values() if password in str(line)]


def test_a_reader_has_what_tools_need(guarded: GuardedHive) -> None:
    with guarded.user("tableau").session() as hive:
        assert {sql: why for sql in statements("readers", guarded.settings) if (why := refusal(hive, sql))} == {}
        assert hive.query(f"SELECT market, close FROM (SELECT market, trade_price AS close FROM {DAY}) a") == [
            ("KRW-BTC", 4.0)
        ]
        times = hive.query(f"SELECT CAST(candle_time_kst AS STRING), dt FROM {BI}.candle")
        assert times == [("2026-11-24 09:00:00", "2026-11-24")]
        assert hive.query("SELECT current_user()") == [("tableau",)]


def test_a_reader_may_run_the_queries_of_the_readme(guarded: GuardedHive) -> None:
    queries = readme_queries()
    assert len(queries) == 6
    with guarded.user("tableau").session() as hive:
        found = [hive.query(sql.replace("upbit_bi.", f"{BI}.")) for sql in queries]
    assert found[0] == [("KRW-BTC", 1)]
    assert found[2] == [("2026-11-24", 3.0, 2.0)]


def test_the_pipeline_goes_on_with_tables_of_the_release_before(guarded: GuardedHive) -> None:
    settings = guarded.settings
    with guarded.user("upbit").session() as hive:
        (owner,) = [value for name, value, _ in hive.query(f"DESCRIBE FORMATTED {DAY}") if name.startswith("Owner:")]
        assert owner.strip() == "somebody"
        tables.ensure_day(hive, settings, "candle", "261124", NEW)
        assert tables.is_registered(hive, settings, "candle", "261124", NEW)
        tables.ensure_day(hive, settings, "candle", "261124", OLD)
        assert tables.is_registered(hive, settings, "candle", "261124", OLD)


def test_a_new_day_is_read_at_once(guarded: GuardedHive) -> None:
    settings = guarded.settings
    with guarded.user("upbit").session() as hive:
        for kind in ("candle", *OTHER_KINDS):
            tables.ensure_day(hive, settings, kind, "261125", f"/replica_guarded/{kind}/261125/day-1")
        hive.execute(f"INSERT INTO {LAKE}.candle_261125 VALUES {row('2026-11-25T09:00:00')}")
    with guarded.user("ann").session() as hive:
        assert hive.query(f"SELECT market FROM {LAKE}.candle_261125") == [("KRW-BTC",)]
        assert hive.query(f"SELECT count(*) FROM {BI}.candle WHERE dt = '2026-11-25'") == [(1,)]
        assert hive.query(f"SELECT count(*) FROM {BI}.forecast") == [(0,)]
        assert hive.query(f"SELECT count(*) FROM {BI}.reconciliation") == [(0,)]


def test_hives_own_grants_open_more_to_a_reader(guarded: GuardedHive) -> None:
    writer, ann = guarded.user("upbit"), guarded.user("ann")
    writer.execute("CREATE TABLE private.granted (n INT)", "GRANT SELECT ON private.granted TO USER ann")
    try:
        assert ann.query("SELECT count(*) FROM private.granted") == [(0,)]
        with pytest.raises(QueryFailed, match="does not have following privileges"):
            guarded.user("tableau").query("SELECT count(*) FROM private.granted")
        with pytest.raises(QueryFailed, match="may only read"):
            ann.execute("DROP TABLE private.granted")
    finally:
        writer.execute("DROP TABLE private.granted")


@pytest.mark.parametrize(
    ("user", "password"), [("tableau", "wrong"), ("nobody", "reader-secret"), ("upbit", "reader-secret")]
)
def test_a_wrong_password_is_refused(guarded: GuardedHive, user: str, password: str) -> None:
    with pytest.raises(LoginFailed):
        guarded.user(user, password).query("SELECT 1")


def test_a_reader_becomes_nobody_else(guarded: GuardedHive) -> None:
    with guarded.driver("tableau", on_behalf_of="upbit") as client:
        session = open_session(client, "upbit", {}).sessionHandle
        assert executed(client, session, "CREATE DATABASE evil") is not None
        assert "tableau" in str(executed(client, session, "CREATE DATABASE evil"))
    with guarded.driver("tableau") as client:
        response = open_session(client, "tableau", {"hive.server2.proxy.user": "upbit"})
        assert response.status.statusCode not in SUCCESS
        assert re.search("proxy|impersonate", response.status.errorMessage)


@pytest.mark.parametrize(
    "setting",
    [
        {"set:system:user.name": "hdfs"},
        {"set:metaconf:hive.metastore.try.direct.sql": "false"},
        {"set:hivevar:mode": "HPLSQL"},
        {"set: hivevar:mode": "HPLSQL"},
        {"set:hiveconf:upbit_elt.hive.writers": "tableau"},
        {"upbit_elt.hive.writers": "tableau"},
        {"hive.security.authorization.enabled": "false"},
    ],
    ids=str,
)
def test_a_session_that_begins_with_what_set_may_not_is_not_opened(
    guarded: GuardedHive, setting: dict[str, str]
) -> None:
    with guarded.driver("tableau") as client:
        assert open_session(client, "tableau", setting).status.statusCode not in SUCCESS


def test_a_statement_brings_no_settings_past_the_list(guarded: GuardedHive) -> None:
    with guarded.driver("tableau") as client:
        session = open_session(client, "tableau", {}).sessionHandle
        for overlay in ({"upbit_elt.hive.writers": "tableau"}, {"hive.security.authorization.enabled": "false"}):
            assert executed(client, session, "CREATE DATABASE evil", overlay) is not None


def test_the_metadata_calls_of_odbc_and_jdbc_drivers_succeed(guarded: GuardedHive) -> None:
    """The calls of `java.sql.DatabaseMetaData` and their likes in ODBC, on a session opened as the JDBC driver does."""
    opening = {"set:hiveconf:hive.server2.thrift.resultset.default.fetch.size": "1000", "use:database": BI}
    with guarded.driver("tableau") as client:
        opened = open_session(client, "tableau", opening)
        assert opened.status.statusCode in SUCCESS, opened.status.errorMessage
        session = opened.sessionHandle
        calls = {
            "schemas": client.GetSchemas(ttypes.TGetSchemasReq(session)),
            "tables": client.GetTables(ttypes.TGetTablesReq(session, None, "upbit%", "%")),
            "columns": client.GetColumns(ttypes.TGetColumnsReq(session, None, BI, "candle", "%")),
            "catalogs": client.GetCatalogs(ttypes.TGetCatalogsReq(session)),
            "types": client.GetTypeInfo(ttypes.TGetTypeInfoReq(session)),
            "table types": client.GetTableTypes(ttypes.TGetTableTypesReq(session)),
            "functions": client.GetFunctions(ttypes.TGetFunctionsReq(session, None, None, "%")),
            "primary keys": client.GetPrimaryKeys(ttypes.TGetPrimaryKeysReq(session, None, BI, "candle")),
        }
        assert {name: a.status.errorMessage for name, a in calls.items() if a.status.statusCode not in SUCCESS} == {}
        assert {LAKE, BI} <= set(column(client, calls["schemas"], 0))
        assert {"candle", "candle_261124"} <= set(column(client, calls["tables"], 2))
        assert "candle_time_kst" in column(client, calls["columns"], 3)
        info = client.GetInfo(ttypes.TGetInfoReq(session, ttypes.TGetInfoType.CLI_DBMS_NAME))
        assert info.infoValue.stringValue == "Apache Hive"
        assert executed(client, session, "SELECT count(*) FROM candle", {"hive.query.name": "a workbook"}) is None


def executed(client: Any, session: Any, sql: str, overlay: dict[str, str] | None = None) -> str | None:
    """Runs a statement as JDBC does, with settings of its own; the words of a refusal."""
    response = client.ExecuteStatement(ttypes.TExecuteStatementReq(session, sql, overlay or {}))
    return None if response.status.statusCode in SUCCESS else str(response.status.errorMessage)


def column(client: Any, response: Any, number: int) -> list[str]:
    """Strings of a column of what a metadata call found."""
    wanted = ttypes.TFetchResultsReq(response.operationHandle, ttypes.TFetchOrientation.FETCH_NEXT, 1000)
    found: list[str] = client.FetchResults(wanted).results.columns[number].stringVal.values
    return found
