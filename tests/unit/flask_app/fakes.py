"""The edges in memory: a lake of bytes, a Hive that runs the service's SQL over that lake's files, a clock."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from tests.support.hdfs import MemoryHdfs
from upbit_elt.candle import SCHEMA
from upbit_elt.errors import LakeConflict, LakeCorrupt, LakeUnavailable, QueryFailed, WarehouseUnavailable
from upbit_elt.forecast.schema import FORECAST, FORECAST_SCHEMA
from upbit_elt.lake.parquet import decode
from upbit_elt.lake.webhdfs import Entry, Lake
from upbit_elt.warehouse.hive import Hive, Statements
from upbit_elt.warehouse.tables import columns

SCHEMAS = {"candle": SCHEMA, "forecast": FORECAST_SCHEMA}
ADDED = {"candle": (), "forecast": FORECAST.added}
PARTITION = re.compile(r"ALTER TABLE \w+\.(\w+) ADD IF NOT EXISTS PARTITION \(dt='(\S+)'\) LOCATION '(\S+)'")
MOVE = re.compile(r"ALTER TABLE \w+\.(\w+) PARTITION \(dt='(\S+)'\) SET LOCATION '(\S+)'")
DESCRIBE = re.compile(r"DESCRIBE FORMATTED \w+\.(\w+)(?: PARTITION \(dt='(\S+)'\))?")
DAILY = re.compile(r"CREATE EXTERNAL TABLE IF NOT EXISTS \w+\.(\w+_\d{6}) .*LOCATION '(\S+)'", re.DOTALL)
PARTITIONS = re.compile(r"SHOW PARTITIONS (\w+)\.(\w+)(?: PARTITION \(dt='(\S+)'\))?$")
WRITTEN = datetime(2026, 11, 24, tzinfo=UTC)
BOUND = re.compile(r"\bdt (>=|<=|=) %\((\w+)\)s")


class StillClock:
    """A clock that the test sets."""

    def __init__(self, now: datetime) -> None:
        self.moment = now

    def now(self) -> datetime:
        return self.moment

    def sleep(self, seconds: float) -> None:
        raise AssertionError(f"the service slept {seconds} s")

    def monotonic(self) -> float:
        return self.moment.timestamp()

    def since_boot(self) -> float:
        return self.moment.timestamp()


class MemoryLake(Lake):
    """Files in a dict; `up = False` makes it stop answering."""

    def __init__(self, root: str = "") -> None:
        super().__init__(MemoryHdfs(StillClock(WRITTEN)).client(), root)
        self.files: dict[str, bytes] = {}
        self.up = True
        self.reads = 0

    def list(self, folder: str) -> list[Entry]:
        self._respond()
        below = [
            path[len(folder.rstrip("/")) + 1 :] for path in self.files if path.startswith(f"{folder.rstrip('/')}/")
        ]
        folders = {name.split("/")[0] for name in below if "/" in name}
        plain = [Entry(name, False, len(self.files[f"{folder}/{name}"]), WRITTEN) for name in below if "/" not in name]
        return sorted([*plain, *(Entry(name, True, 0, WRITTEN) for name in folders)])

    def size(self, path: str) -> int | None:
        self._respond()
        return len(self.files[path]) if path in self.files else None

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        self._respond()
        self.reads += 1
        if path not in self.files:
            raise LakeCorrupt(f"{path}: no such file in HDFS")
        return self.files[path][offset : None if length is None else offset + length]

    def create(self, path: str, data: bytes) -> None:
        self._respond()
        if path in self.files:
            raise LakeConflict(f"{path}: already there")
        self.files[path] = data

    def delete(self, path: str) -> None:
        self._respond()
        self.files = {k: v for k, v in self.files.items() if k != path and not k.startswith(f"{path}/")}

    def make_folder(self, path: str) -> None:
        self._respond()

    def _rename(self, source: str, target: str, options: str) -> None:
        self._respond()
        if target in self.files and options != "OVERWRITE":
            raise LakeConflict(f"{target}: already there")
        for path in [path for path in self.files if path == source or path.startswith(f"{source}/")]:
            self.files[target + path.removeprefix(source)] = self.files.pop(path)

    def _respond(self) -> None:
        if not self.up:
            raise LakeUnavailable("HDFS at http://memory does not answer")


class FileHive(Hive):
    """External tables over a MemoryLake, queried by SQLite; reads only the partitions that `dt` leaves.

    `up = False` makes it stop answering, `refusal` lets it refuse every statement with these words, and `hand_out` is
    what its driver makes of a row; `scanned` holds the `dt` of each partition that a query read.
    """

    def __init__(self, lake: MemoryLake, database: str) -> None:
        super().__init__("memory", 10000, "tester", "none", 1.0)
        self._lake, self._database = lake, database
        self.places: dict[tuple[str, str], str] = {}
        self.scanned: list[str] = []
        self.up = True
        self.refusal = ""
        self.hand_out: Callable[[tuple[Any, ...]], tuple[Any, ...]] = lambda row: row

    @contextmanager
    def session(self) -> Iterator[Statements]:
        self._respond()
        yield self

    def execute(self, *statements: str) -> None:
        self._respond()
        for sql in statements:
            for match in filter(None, (PARTITION.match(sql), MOVE.match(sql))):
                if match.re is MOVE or (match[1], match[2]) not in self.places:
                    self.places[match[1], match[2]] = match[3]
            daily = DAILY.match(sql)
            if daily:
                self.places.setdefault((daily[1], ""), daily[2])

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        self._respond()
        if sql.startswith("SHOW DATABASES"):
            return [(self._database,)] if self.places else []
        if sql.startswith("SHOW TABLES"):
            return [(kind,) for kind in SCHEMAS if f"'{kind}'" in sql and self._days(kind)]
        if sql.startswith("SHOW PARTITIONS"):
            _, kind, day = PARTITIONS.match(sql).groups()  # type: ignore[union-attr]
            return [(f"dt={found}",) for found in self._days(kind) if day in (None, found)]
        described = DESCRIBE.match(sql)
        if described:
            rows = [(name, "type", "") for kind in SCHEMAS if described[1].startswith(kind) for name in columns(kind)]
            place = self.places.get((described[1], described[2] or ""), "")
            return [*rows, ("Location:           ", place, None)]
        return [self.hand_out(row) for row in self._select(sql, dict(parameters or {}))]

    def _days(self, kind: str) -> list[str]:
        return sorted(day for table, day in self.places if table == kind and day)

    def _select(self, sql: str, parameters: dict[str, object]) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(":memory:")
        try:
            connection.execute(f"ATTACH ':memory:' AS {self._database}")
            for kind in SCHEMAS:
                if f".{kind} " in sql:
                    self._load(connection, kind, BOUND.findall(sql), parameters)
            # Hive promises no order; nobody may rely on that of the files.
            return connection.execute(re.sub(r"%\((\w+)\)s", r":\1", sql), parameters).fetchall()[::-1]
        finally:
            connection.close()

    def _load(
        self, connection: sqlite3.Connection, kind: str, bounds: list[tuple[str, str]], values: dict[str, object]
    ) -> None:
        names = [*SCHEMAS[kind].names, "dt"]
        connection.execute(f"CREATE TABLE {self._database}.{kind} ({', '.join(f'`{name}`' for name in names)})")
        placeholders = ", ".join("?" * len(names))
        for day in self._days(kind):
            if all(_holds(day, operator, str(values[name])) for operator, name in bounds):
                self.scanned.append(day)
                rows = [(*row.values(), day) for row in self._partition(kind, day).to_pylist()]
                connection.executemany(f"INSERT INTO {self._database}.{kind} VALUES ({placeholders})", rows)

    def _partition(self, kind: str, day: str) -> pa.Table:
        folder = self.places[kind, day].removeprefix("hdfs://localhost:8020")
        names = [entry.name for entry in self._lake.list(folder) if not entry.name.startswith(("_", "."))]
        tables = [decode(self._lake.read(f"{folder}/{name}"), name, SCHEMAS[kind], ADDED[kind]) for name in names]
        return pa.concat_tables([SCHEMAS[kind].empty_table(), *tables])

    def _respond(self) -> None:
        if self.refusal:
            raise QueryFailed(self.refusal)
        if not self.up:
            raise WarehouseUnavailable("HiveServer2 at memory:10000 did not answer within 1 s")


def _holds(day: str, operator: str, bound: str) -> bool:
    return {">=": day >= bound, "<=": day <= bound, "=": day == bound}[operator]
