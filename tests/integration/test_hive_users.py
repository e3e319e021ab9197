"""Who may do what in Hive: `tableau` reads, `upbit` does everything, and nobody gets out of SQL.

The tables are of the release before (made without users, by a server that asked nobody); then the server of the
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
from tests.support.ports import free_ports
from upbit_elt.errors import LoginFailed, QueryFailed
from upbit_elt.lake.layout import Kind
from upbit_elt.settings import Settings
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
OTHER_KINDS: tuple[Kind, ...] = ("forecast", "reconciliation")
SUCCESS = (ttypes.TStatusCode.SUCCESS_STATUS, ttypes.TStatusCode.SUCCESS_WITH_INFO_STATUS)

# Refused to everybody: what reaches out of SQL into the server's process, its files, or a shell.
NOBODY = """
SELECT reflect('java.lang.System', 'getenv', 'STACK_HIVE_USERS')
SELECT reflect2('a', 'length')
SELECT java_method('java.lang.System', 'getenv', 'PATH')
SELECT in_file('root', '/etc/passwd')
SELECT get_splits('SELECT 1', 1)
SELECT TRANSFORM(1) USING 'cat' AS (x)
FROM (MAP market USING 'cat' AS x FROM {lake}.candle) a SELECT x
dfs -ls /
add jar /tmp/x.jar
list jars
delete jar /tmp/x.jar
compile `x` AS groovy NAMED x
reload functions
SET hive.tez.java.opts=-Xmx1g
SET tez.task.launch.cmd-opts=x
SET tez.am.launch.env=A=b
SET hive.exec.pre.hooks=x
SET hive.semantic.analyzer.hook=
SET hive.security.authorization.enabled=false
SET upbit_elt.hive.writers=tableau
SET hiveconf:upbit_elt.hive.writers=tableau
SET hive.server2.builtin.udf.blacklist=x
SET hive.security.command.whitelist=dfs
SET hive.variable.substitute=true
SET fs.defaultFS=file:///
SET hive.execution.engine=mr
SET javax.jdo.option.ConnectionURL=jdbc:x
SET hive.metastore.uris=thrift://evil:9083
SET system:user.name=hdfs
set/* */ system:user.name=hdfs
SET metaconf:hive.metastore.try.direct.sql=false
SET hivevar:mode=HPLSQL
RESET -d hive.security.authorization.enabled
"""
# Refused to whoever is no writer.
READER = """
CREATE DATABASE evil
DROP DATABASE {lake} CASCADE
ALTER DATABASE {lake} SET LOCATION '{hdfs}/tmp/x'
ALTER DATABASE {lake} SET OWNER USER tableau
DROP TABLE {lake}.candle
DROP TABLE IF EXISTS {day}
DROP VIEW {bi}.candle
TRUNCATE TABLE {day}
ALTER TABLE {lake}.candle RENAME TO {lake}.gone
ALTER TABLE {lake}.candle SET LOCATION '{hdfs}/tmp/x'
ALTER TABLE {lake}.candle DROP PARTITION (dt='2026-11-24')
ALTER TABLE {lake}.candle ADD PARTITION (dt='2026-11-25')
ALTER TABLE {lake}.candle SET TBLPROPERTIES ('external.table.purge'='true')
ALTER TABLE {lake}.candle ADD COLUMNS (x INT)
ALTER TABLE {lake}.candle UPDATE STATISTICS SET ('numRows'='1')
ALTER VIEW {bi}.candle AS SELECT 1
MSCK REPAIR TABLE {lake}.candle
ANALYZE TABLE {day} COMPUTE STATISTICS
ANALYZE TABLE {day} COMPUTE STATISTICS FOR COLUMNS
INSERT INTO {day} SELECT * FROM {day}
INSERT INTO {lake}.candle PARTITION (dt='2026-11-24') SELECT * FROM {day}
INSERT OVERWRITE TABLE {day} SELECT * FROM {day}
EXPLAIN ANALYZE INSERT INTO {day} SELECT * FROM {day}
FROM {day} a INSERT INTO TABLE {day} SELECT a.*
DELETE FROM {day}
UPDATE {day} SET market='x'
INSERT OVERWRITE DIRECTORY '/replica_guarded/x' SELECT 1
INSERT OVERWRITE LOCAL DIRECTORY '/tmp/upbit-elt-evil' SELECT 1
LOAD DATA INPATH '/replica_guarded' INTO TABLE {day}
LOAD DATA LOCAL INPATH '/etc/passwd' INTO TABLE {day}
EXPORT TABLE {day} TO '/tmp/x'
IMPORT TABLE {lake}.evil FROM '/tmp/x'
REPL DUMP {lake}
CREATE TABLE {lake}.evil (n INT)
CREATE TABLE {lake}.evil AS SELECT 1 AS n
CREATE TABLE default.evil (n INT)
CREATE TABLE IF NOT EXISTS default.evil AS SELECT 1 AS n
CREATE TABLE default.evil LIKE {lake}.candle
CREATE EXTERNAL TABLE default.evil (line STRING) LOCATION '{hdfs}/replica_guarded'
CREATE TEMPORARY TABLE evil (line STRING) LOCATION '{hdfs}/replica_guarded'
CREATE TEMPORARY EXTERNAL TABLE evil (line STRING) LOCATION '{hdfs}/replica_guarded'
CREATE TEMPORARY TABLE evil (line STRING) LOCATION 'file:///etc'
CREATE TEMPORARY TABLE evil LIKE {day} LOCATION '{hdfs}/replica_guarded'
CREATE TEMPORARY TABLE evil LIKE FILE PARQUET '{hdfs}/replica_guarded/x'
CREATE TEMPORARY TABLE evil (n INT) STORED BY 'org.apache.hadoop.hive.ql.metadata.DefaultStorageHandler'
CREATE TEMPORARY TABLE evil (line STRING) {symlink}
CREATE TEMPORARY TABLE evil {symlink} AS SELECT 'file:///etc/passwd' AS line
CREATE TEMPORARY TABLE evil STORED AS AVRO TBLPROPERTIES ('avro.schema.url'='file:///etc/passwd')
CREATE TEMPORARY TABLE evil (line STRING) ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'
CREATE TEMPORARY TABLE evil (line STRING) TBLPROPERTIES ('transactional'='true')
CREATE TEMPORARY TABLE evil AS SELECT * FROM private.t
CREATE TEMPORARY TABLE evil LIKE private.t
CREATE TEMPORARY TABLE evil LIKE {day}
CREATE VIEW {bi}.evil AS SELECT 1 AS n
CREATE VIEW default.evil AS SELECT 1 AS n
CREATE MATERIALIZED VIEW default.evil AS SELECT * FROM {day}
CREATE FUNCTION default.f AS 'org.apache.hadoop.hive.ql.udf.generic.GenericUDFReflect'
CREATE TEMPORARY FUNCTION f AS 'org.apache.hadoop.hive.ql.udf.generic.GenericUDFReflect'
CREATE TEMPORARY MACRO m(x INT) x + 1
GRANT ALL ON TABLE {lake}.candle TO USER tableau
GRANT SELECT ON private.t TO ROLE public
GRANT admin TO USER tableau
SET ROLE ADMIN
CREATE ROLE r
SHOW GRANT USER upbit ON ALL
SELECT * FROM private.t
DESCRIBE FORMATTED private.t
SHOW CREATE TABLE private.t
SHOW PARTITIONS private.t
DROP TABLE private.t
ALTER TABLE private.t RENAME TO default.t
CREATE SCHEDULED QUERY q EVERY 1 HOURS AS SELECT 1
CREATE RESOURCE PLAN p
CREATE CONNECTOR c TYPE 'mysql' URL 'jdbc:mysql://x'
LOCK TABLE {lake}.candle EXCLUSIVE
ABORT TRANSACTIONS 1
EXPLAIN DROP TABLE {lake}.candle
"""
# What tools send: looking around, settings of a session, temporary tables.
NEEDED = """
SHOW DATABASES
USE {bi}
SHOW TABLES
SHOW TABLES IN {lake} LIKE 'candle*'
SHOW VIEWS IN {bi}
DESCRIBE {bi}.candle
DESCRIBE FORMATTED {lake}.candle
DESCRIBE EXTENDED {day}
DESCRIBE DATABASE {lake}
DESCRIBE FUNCTION abs
SHOW CREATE TABLE {bi}.candle
SHOW CREATE TABLE {lake}.candle
SHOW PARTITIONS {lake}.candle
SHOW COLUMNS IN {bi}.candle
SHOW TBLPROPERTIES {lake}.candle
SHOW TABLE EXTENDED IN {lake} LIKE 'candle'
SHOW FUNCTIONS
SET -v
SET hive.execution.engine
SET hive.server2.thrift.resultset.default.fetch.size=1000
SET hive.resultset.use.unique.column.names=false
SET hive.fetch.task.conversion=more
SET hive.vectorized.execution.enabled=true
SET mapreduce.job.name=a workbook
SET TIME ZONE America/New_York
SET hivevar:a=b
EXPLAIN SELECT count(*) FROM {bi}.candle
CREATE TEMPORARY TABLE `XTableau_1` (n INT, s STRING) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' STORED AS TEXTFILE
INSERT INTO `XTableau_1` VALUES (1, 'a'), (2, 'b')
SELECT s, count(*) FROM `XTableau_1` GROUP BY s
CREATE TEMPORARY TABLE IF NOT EXISTS XTableau_2 AS SELECT market, trade_price FROM {bi}.candle
SELECT * FROM XTableau_2 JOIN `XTableau_1` ON true
CREATE TEMPORARY TABLE XTableau_3 STORED AS ORC AS SELECT * FROM {day}
DROP TABLE `XTableau_1`
DROP TABLE IF EXISTS XTableau_2
DROP TABLE IF EXISTS never_was
RESET
"""


def lines(text: str, settings: Settings) -> list[str]:
    names = {"lake": LAKE, "bi": BI, "day": DAY, "hdfs": settings.hdfs_uri, "symlink": SYMLINK}
    return [line.format(**names) for line in text.strip().splitlines()]


@pytest.fixture(scope="module")
def guarded(
    daemons: Settings, daemon_stack: StackSettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardedHive]:
    """Tables that a server without users made, with one candle, and the server of the deployment on them."""
    (port,) = free_ports(1)
    stack = guarded_stack(daemon_stack, tmp_path_factory.mktemp("guarded"), port)
    settings = guarded_settings(stack, dataset="replica_guarded")
    before = Hive("127.0.0.1", port, "somebody", "anything", 60)
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


def done(hive: Hive, statements: list[str]) -> list[str]:
    """Those that were done."""
    with hive.session() as session:
        return [sql for sql in statements if refusal(session, sql) is None]


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
    assert done(guarded.user("tableau"), lines(NOBODY + READER, guarded.settings)) == []
    assert everything(guarded) == before


def test_a_refusal_says_why(guarded: GuardedHive) -> None:
    with guarded.user("tableau").session() as hive:
        assert "user tableau may only read, not DROPTABLE" in str(refusal(hive, f"DROP TABLE {DAY}"))
        assert "not TOK_TABLEPROPERTIES" in str(
            refusal(hive, "CREATE TEMPORARY TABLE evil (n INT) TBLPROPERTIES ('a'='b')")
        )
        assert "the session alone, not system:a" in str(refusal(hive, "SET system:a=b"))


def test_what_reaches_out_of_sql_is_off_for_the_writer_too(guarded: GuardedHive) -> None:
    assert done(guarded.user("upbit"), lines(NOBODY, guarded.settings)) == []


@pytest.mark.parametrize("user", ["tableau", "upbit"])
def test_no_password_is_in_what_a_session_can_list(guarded: GuardedHive, user: str) -> None:
    with guarded.user(user).session() as hive:
        seen = [*hive.query("SET"), *hive.query("SET -v"), *hive.query("SELECT '${env:STACK_HIVE_USERS}'")]
    assert len(seen) > 1000
    assert any("env:STACK_HIVE_PORT" in str(line) for line in seen), "the environment is in it"
    assert not [line for line in seen for password in PASSWORDS.values() if password in str(line)]


def test_a_reader_has_what_tools_need(guarded: GuardedHive) -> None:
    with guarded.user("tableau").session() as hive:
        assert {sql: why for sql in lines(NEEDED, guarded.settings) if (why := refusal(hive, sql))} == {}
        assert hive.query(f"SELECT market, close FROM (SELECT market, trade_price AS close FROM {DAY}) a") == [
            ("KRW-BTC", 4.0)
        ]
        times = hive.query(f"SELECT CAST(candle_time_kst AS STRING), dt FROM {BI}.candle")
        assert times == [("2026-11-24 09:00:00", "2026-11-24")]
        assert hive.query("SELECT current_user()") == [("tableau",)]


def test_a_reader_may_ask_what_the_readme_lists(guarded: GuardedHive) -> None:
    queries = readme_queries()
    assert len(queries) == 5
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
        answer = open_session(client, "tableau", {"hive.server2.proxy.user": "upbit"})
        assert answer.status.statusCode not in SUCCESS
        assert re.search("proxy|impersonate", answer.status.errorMessage)


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


def test_what_odbc_and_jdbc_drivers_ask(guarded: GuardedHive) -> None:
    """The calls of `java.sql.DatabaseMetaData` and their likes in ODBC, on a session opened as the JDBC driver does."""
    opening = {"set:hiveconf:hive.server2.thrift.resultset.default.fetch.size": "1000", "use:database": BI}
    with guarded.driver("tableau") as client:
        opened = open_session(client, "tableau", opening)
        assert opened.status.statusCode in SUCCESS, opened.status.errorMessage
        session = opened.sessionHandle
        asked = {
            "schemas": client.GetSchemas(ttypes.TGetSchemasReq(session)),
            "tables": client.GetTables(ttypes.TGetTablesReq(session, None, "upbit%", "%")),
            "columns": client.GetColumns(ttypes.TGetColumnsReq(session, None, BI, "candle", "%")),
            "catalogs": client.GetCatalogs(ttypes.TGetCatalogsReq(session)),
            "types": client.GetTypeInfo(ttypes.TGetTypeInfoReq(session)),
            "table types": client.GetTableTypes(ttypes.TGetTableTypesReq(session)),
            "functions": client.GetFunctions(ttypes.TGetFunctionsReq(session, None, None, "%")),
            "primary keys": client.GetPrimaryKeys(ttypes.TGetPrimaryKeysReq(session, None, BI, "candle")),
        }
        assert {name: a.status.errorMessage for name, a in asked.items() if a.status.statusCode not in SUCCESS} == {}
        assert {LAKE, BI} <= set(column(client, asked["schemas"], 0))
        assert {"candle", "candle_261124"} <= set(column(client, asked["tables"], 2))
        assert "candle_time_kst" in column(client, asked["columns"], 3)
        info = client.GetInfo(ttypes.TGetInfoReq(session, ttypes.TGetInfoType.CLI_DBMS_NAME))
        assert info.infoValue.stringValue == "Apache Hive"
        assert executed(client, session, "SELECT count(*) FROM candle", {"hive.query.name": "a workbook"}) is None


def executed(client: Any, session: Any, sql: str, overlay: dict[str, str] | None = None) -> str | None:
    """Runs a statement as JDBC does, with settings of its own; the words of a refusal."""
    answer = client.ExecuteStatement(ttypes.TExecuteStatementReq(session, sql, overlay or {}))
    return None if answer.status.statusCode in SUCCESS else str(answer.status.errorMessage)


def column(client: Any, answer: Any, number: int) -> list[str]:
    """Strings of a column of what a metadata call found."""
    wanted = ttypes.TFetchResultsReq(answer.operationHandle, ttypes.TFetchOrientation.FETCH_NEXT, 1000)
    found: list[str] = client.FetchResults(wanted).results.columns[number].stringVal.values
    return found
