"""A HiveServer2 in memory over the HDFS in memory: the statements that the product sends, and plain SELECTs.

Held to the real one by test_contract.py.
"""

from __future__ import annotations

import posixpath
import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyhive import exc
from pyhive.hive import HiveParamEscaper
from thrift.transport.TTransport import TTransportException

from tests.support.edge import Call, Fault, Killed, Watch, inactive
from tests.support.hdfs import MemoryHdfs, Node
from upbit_elt.clock import Clock
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive

Row = tuple[Any, ...]
TYPES = {"STRING": pa.string(), "DOUBLE": pa.float64(), "BIGINT": pa.int64(), "INT": pa.int32()}
NAME, PARTITION, AT = r"(\S+)", r"PARTITION \(dt='([^']+)'\)", r"LOCATION '([^']+)'"
CONDITION = re.compile(r"`?(\w+)`?\s*(>=|<=|=|<|>|IN)\s*(\([^)]*\)|'[^']*'|\d+)\s*$", re.IGNORECASE)
PLAIN = re.compile(r"SELECT ([\w`, *]+) FROM (\S+)(?: WHERE (.+))?\s*$", re.DOTALL)
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": pc.equal,
    "<": pc.less,
    ">": pc.greater,
    "<=": pc.less_equal,
    ">=": pc.greater_equal,
}


@dataclass
class Place:
    """A folder that a table or partition points at (a whole URI), and when it was last changed (s).

    `columns` of a partition that has others than its table, as one that was there before the table got more.
    """

    uri: str
    changed: int
    columns: dict[str, pa.DataType] | None = None


@dataclass
class Table:
    """Columns in order; `partitions` by their `dt`, None of a table without; `view` is a view's SELECT."""

    columns: dict[str, pa.DataType]
    place: Place
    partitions: dict[str, Place] | None = None
    view: str = ""


@dataclass
class MemoryHive:
    """One server and its metastore, for any number of processes. One metastore operation at a time.

    `sessions` counts the sessions that were opened, `statements` the statements by their first two words. In `down`
    nothing is answered.
    """

    hdfs: MemoryHdfs
    databases: dict[str, dict[str, Table]] = field(default_factory=lambda: {"default": {}})
    sessions: int = 0
    statements: Counter[str] = field(default_factory=Counter)
    down: bool = False

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self._table: list[tuple[re.Pattern[str], Callable[..., list[Row]]]] = [
            (re.compile(pattern, re.DOTALL), act)
            for pattern, act in (
                (r"CREATE DATABASE IF NOT EXISTS (\w+)\s*$", self._create_database),
                (rf"CREATE EXTERNAL TABLE IF NOT EXISTS {NAME} \((.*?)\n?\)\s+(.*?)STORED AS .*?{AT}", self._create),
                (rf"CREATE OR REPLACE VIEW {NAME} AS\s(.*)", self._create_view),
                (rf"ALTER TABLE {NAME} ADD IF NOT EXISTS {PARTITION} {AT}\s*$", self._add),
                (rf"ALTER TABLE {NAME}(?: {PARTITION})? SET {AT}\s*$", self._move),
                (rf"ALTER TABLE {NAME}(?: {PARTITION})? ADD COLUMNS \((.*)\)\s*$", self._add_columns),
                (rf"ALTER TABLE {NAME} DROP IF EXISTS {PARTITION}\s*$", self._drop_partition),
                (r"SHOW DATABASES LIKE '([^']+)'\s*$", self._show_databases),
                (r"SHOW TABLES IN (\w+) LIKE '([^']+)'\s*$", self._show_tables),
                (rf"SHOW PARTITIONS {NAME}(?: {PARTITION})?\s*$", self._show_partitions),
                (rf"DESCRIBE FORMATTED {NAME}(?: {PARTITION})?\s*$", self._describe),
                (r"DROP DATABASE IF EXISTS (\w+) CASCADE\s*$", self._drop_database),
                (r"DROP TABLE (?:IF EXISTS )?(\S+)\s*$", self._drop),
                (r"(SELECT .*)", self._select),
            )
        ]

    def client(self, settings: Settings, watch: Watch = inactive, clock: Clock | None = None) -> Hive:
        """What one process with this clock sees; `watch` says what comes of each of its calls."""
        return _MemoryClient(self, settings, watch, clock or self.hdfs.clock)

    def run(self, sql: str) -> list[Row]:
        """Rows of one statement. Raises OperationalError when Hive would reject it."""
        for pattern, act in self._table:
            match = pattern.match(sql)
            if match:
                with self.lock:
                    return act(*match.groups())
        raise exc.OperationalError(f"ParseException: not understood: {sql}")

    def point(self, name: str, dt: str | None = None) -> str:
        """Folder at which a table (`database.name`), or its partition, points."""
        return urlsplit(self._place(name, dt).uri).path

    def rows(self, name: str) -> pa.Table:
        """All that a SELECT of everything from a table (`database.name`) gives."""
        with self.lock:
            return self._rows(name, [])

    def _now(self) -> int:
        return int(self.hdfs.clock.now().timestamp())

    def _at(self, uri: str) -> Place:
        """A new place; Hive makes the folder of a new table or partition."""
        with self.hdfs.lock:
            self.hdfs.make_folder(urlsplit(uri).path)
        return Place(uri, self._now())

    def _tables(self, database: str) -> dict[str, Table]:
        if database not in self.databases:
            raise exc.OperationalError(f"SemanticException [Error 10072]: Database does not exist: {database}")
        return self.databases[database]

    def _find(self, name: str) -> Table:
        database, _, table = name.lower().partition(".")
        if table not in self.databases.get(database, {}):
            raise exc.OperationalError(f"SemanticException [Error 10001]: Table not found {name}")
        return self.databases[database][table]

    def _place(self, name: str, dt: str | None) -> Place:
        table = self._find(name)
        if dt is None:
            return table.place
        if dt not in (table.partitions or {}):
            raise exc.OperationalError(f"SemanticException [Error 10006]: Partition not found {{dt={dt}}}")
        return (table.partitions or {})[dt]

    def _create_database(self, database: str) -> list[Row]:
        self.databases.setdefault(database, {})
        return []

    def _create(self, name: str, columns: str, partitioned: str, uri: str) -> list[Row]:
        database, _, table = name.partition(".")
        tables = self._tables(database)
        if table not in tables:
            pairs = (line.strip().strip(",").split() for line in columns.strip().split("\n"))
            types = {column.strip("`"): TYPES[kind] for column, kind in pairs}
            tables[table] = Table(types, self._at(uri), {} if "PARTITIONED" in partitioned else None)
        return []

    def _create_view(self, name: str, select: str) -> list[Row]:
        database, _, table = name.partition(".")
        self._tables(database)[table] = Table({}, Place("", self._now()), view=select)
        return []

    def _add(self, name: str, dt: str, uri: str) -> list[Row]:
        partitions = self._find(name).partitions
        if partitions is None:
            raise exc.OperationalError(f"SemanticException [Error 10241]: {name} is not partitioned")
        if dt not in partitions:
            partitions[dt] = self._at(uri)
        return []

    def _move(self, name: str, dt: str | None, uri: str) -> list[Row]:
        place = self._place(name, dt)
        place.uri, place.changed = uri, self._now()
        return []

    def _add_columns(self, name: str, dt: str | None, added: str) -> list[Row]:
        """As Hive without CASCADE: of the table alone, or of the one partition."""
        table, place = self._find(name), self._place(name, dt)
        before = table.columns if place.columns is None else place.columns
        pairs = (pair.split() for pair in added.split(", "))
        more = {column.strip("`"): TYPES[kind] for column, kind in pairs}
        if twice := before.keys() & more.keys():
            raise exc.OperationalError(f"SemanticException: duplicate column name: {', '.join(sorted(twice))}")
        if dt is not None:
            place.columns = before | more
        else:
            for part in (table.partitions or {}).values():
                part.columns = part.columns or table.columns
            table.columns = before | more
        place.changed = self._now()
        return []

    def _show_databases(self, pattern: str) -> list[Row]:
        return [(name,) for name in sorted(self.databases) if name == pattern]

    def _show_tables(self, database: str, pattern: str) -> list[Row]:
        return [(name,) for name in sorted(self._tables(database)) if name == pattern]

    def _show_partitions(self, name: str, dt: str | None) -> list[Row]:
        partitions = self._find(name).partitions
        if partitions is None:
            raise exc.OperationalError(f"SemanticException [Error 10241]: Table {name} is not a partitioned table")
        return [(f"dt={there}",) for there in sorted(partitions) if dt in (None, there)]

    def _describe(self, name: str, dt: str | None) -> list[Row]:
        place = self._place(name, dt)
        columns = self._find(name).columns if place.columns is None else place.columns
        return [
            ("# col_name            ", "data_type           ", "comment             "),
            *((column, str(kind), "") for column, kind in columns.items()),
            ("", None, None),
            ("Location:           ", f"{place.uri}\t ", None),
            ("", "transient_lastDdlTime", f"{place.changed}          "),
        ]

    def _drop_database(self, database: str) -> list[Row]:
        self.databases.pop(database, None)
        return []

    def _drop(self, name: str) -> list[Row]:
        database, _, table = name.partition(".")
        self.databases.get(database, {}).pop(table, None)
        return []

    def _drop_partition(self, name: str, dt: str) -> list[Row]:
        (self._find(name).partitions or {}).pop(dt, None)
        return []

    def _select(self, sql: str) -> list[Row]:
        plain = PLAIN.match(sql)
        parts = re.split(r"\s+AND\s+", plain[3]) if plain and plain[3] else []
        conditions = [CONDITION.match(part.strip()) for part in parts]
        if plain and all(conditions):
            wanted = [(found[1], found[2].upper(), _literals(found[3])) for found in conditions if found]
            table = self._rows(plain[2], wanted)
            for name, operator, values in wanted:
                column = table.column(name)
                kept = pc.is_in(column, pa.array(values)) if operator == "IN" else COMPARE[operator](column, values[0])
                table = table.filter(kept)
            names = [name.strip().strip("`") for name in plain[1].split(",")]
            names = table.column_names if names == ["*"] else names
            columns = [table.column(name).to_pylist() for name in names]
            return list(zip(*columns, strict=True))
        return self._by_sqlite(sql)

    def _by_sqlite(self, sql: str) -> list[Row]:
        """Whatever else a test queries: counts, groups, orders."""
        connection = sqlite3.connect(":memory:")
        try:
            for name in sorted(set(re.findall(r"\b(?:FROM|JOIN) (\w+\.\w+)", sql))):
                table = self._rows(name, [])
                alias = name.replace(".", "__")
                connection.execute(f"CREATE TABLE {alias} ({', '.join(f'`{c}`' for c in table.column_names)})")
                prices_on = ", ".join("?" * table.num_columns)
                rows = [tuple(row.values()) for row in table.to_pylist()]
                connection.executemany(f"INSERT INTO {alias} VALUES ({prices_on})", rows)
                sql = re.sub(rf"\b{re.escape(name)}\b", alias, sql)
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def _rows(self, name: str, wanted: list[tuple[str, str, list[Any]]]) -> pa.Table:
        """All rows of a table, of the partitions alone that `dt = ...` leaves."""
        table = self._find(name)
        schema = pa.schema(list(table.columns.items()))
        if table.partitions is None:
            return self._read(table.place.uri, schema)
        only = {values[0] for column, operator, values in wanted if column == "dt" and operator == "="}
        found = [schema.append(pa.field("dt", pa.string())).empty_table()]
        for dt, place in sorted(table.partitions.items()):
            if not only or only == {dt}:
                rows = self._read(place.uri, schema)
                found.append(rows.append_column("dt", pa.array([dt] * rows.num_rows, pa.string())))
        return pa.concat_tables(found)

    def _read(self, uri: str, schema: pa.Schema) -> pa.Table:
        with self.hdfs.lock:
            node = self.hdfs.find(urlsplit(uri).path)
            files = list(_visible(node, urlsplit(uri).path)) if node else []
        tables = [schema.empty_table()]
        for path, file in files:
            if file.lost:
                raise exc.OperationalError(f"java.io.IOException: BlockMissingException: {path}")
            try:
                tables.append(_wide(pq.read_table(pa.BufferReader(file.data)), schema))
            except (pa.ArrowException, KeyError) as error:
                raise exc.OperationalError(f"java.io.IOException: {path} is not a Parquet file: {error}") from None
        return pa.concat_tables(tables)


class _MemoryClient(Hive):
    """Hive over connections to a server in memory."""

    def __init__(self, server: MemoryHive, settings: Settings, watch: Watch, clock: Clock) -> None:
        super().__init__("memory", 10000, settings.hive_user, "unchecked", settings.hive_timeout)
        self._server, self._watch, self._clock, self._patience = server, watch, clock, settings.hive_timeout

    def _transport(self) -> Any:
        return _Connection(self._server, self._watch, self._clock, self._patience)

    def _connect(self, transport: Any) -> Any:
        try:
            return transport.open()
        except (TTransportException, OSError, exc.OperationalError) as error:
            raise self._unavailable(error) from error


class _Connection:
    """As PyHive's: a session, and the cursor in it."""

    def __init__(self, server: MemoryHive, watch: Watch, clock: Clock, patience: float) -> None:
        self._server, self._watch, self._clock, self._patience = server, watch, clock, patience
        self._found: list[Row] = []

    def open(self) -> _Connection:
        self._call(Call("hive", "SESSION", ""), self._opened)
        return self

    def cursor(self, arraysize: int = 1000) -> _Connection:
        return self

    def execute(self, sql: str, parameters: Any = None) -> None:
        sql = sql % HiveParamEscaper().escape_args(parameters) if parameters else sql
        words = sql.split(maxsplit=2)
        self._server.statements[" ".join(words[:2])] += 1
        self._has_rows = words[0] in ("SELECT", "SHOW", "DESCRIBE")
        self._found = self._call(Call("hive", words[0], sql), lambda: self._server.run(sql))

    def fetchall(self) -> list[Row]:
        if not self._has_rows:
            raise exc.ProgrammingError("No result set")
        return self._found

    def close(self) -> None:
        """Nothing is open."""

    def _opened(self) -> list[Row]:
        self._server.sessions += 1
        return []

    def _call(self, call: Call, work: Callable[[], list[Row]]) -> list[Row]:
        fault = self._watch(call)
        if fault in (Fault.DIES_BEFORE, Fault.DIES_HALFWAY):
            raise Killed
        if fault is Fault.NEVER_ARRIVES or self._server.down:
            raise TTransportException(message="Could not connect to any of [('memory', 10000)]")
        if fault is Fault.REFUSED:
            raise exc.OperationalError("FAILED: Execution Error, return code 40000: MetaException")
        if fault is Fault.SLOW:
            self._clock.sleep(self._patience - 1)
        found = work()
        if fault is Fault.DIES_AFTER:
            raise Killed
        if fault in (Fault.ANSWER_LOST, Fault.CUT):
            self._clock.sleep(self._patience)
            raise TTransportException(message="read timed out")
        return found


def _wide(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows with the columns of a table: NULL in those that the file does not have."""
    for column in schema:
        if column.name not in rows.column_names:
            rows = rows.append_column(column, pa.nulls(rows.num_rows, column.type))
    return rows.select(schema.names).cast(schema)


def _visible(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    """The files that Hive reads: also those in folders below, but no name that begins with `_` or `.`."""
    for name, child in sorted(node.children.items()):
        if name.startswith(("_", ".")):
            continue
        if child.is_dir:
            yield from _visible(child, posixpath.join(path, name))
        else:
            yield posixpath.join(path, name), child


def _literals(text: str) -> list[Any]:
    """Values of `'a'`, `1` or `('a', 'b')`."""
    found = re.findall(r"'((?:[^'\\]|\\.)*)'|(\d+)", text)
    return [int(number) if number else word for word, number in found]
