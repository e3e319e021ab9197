"""What HDFS and Hive do, as the product relies on it: each check holds on the fakes and on the real daemons alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from threading import Event
from typing import Any
from uuid import uuid4

import pyarrow as pa
from hdfs.util import HdfsError

from upbit_elt.candle import Candle, to_table
from upbit_elt.errors import LakeConflict, LakeCorrupt, LakeError, QueryFailed, WarehouseError
from upbit_elt.forecast.schema import FORECAST_SCHEMA
from upbit_elt.lake.parquet import encode
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse import tables
from upbit_elt.warehouse.hive import Hive

ROW = Candle("KRW-BTC", "2026-11-24T01:05:00", "2026-11-24T10:05:00", 1.0, 2.0, 0.5, 1.5, 1764032759999, 3.0, 2.0, 1)
OTHER = replace(ROW, market="KRW-ETH", trade_price=1.25)
DAY, DT = "261124", "2026-11-24"


@dataclass
class Edge:
    """A lake and a warehouse; `folder` is for one check alone, as are the databases of `settings`."""

    lake: Lake
    hive: Hive
    settings: Settings
    folder: str

    @property
    def client(self) -> Any:
        """What the lake talks to: `hdfs.Client`, or what stands for it."""
        return self.lake.client

    def said(self, action: Callable[[], object]) -> object:
        """The exception's name as HDFS says it, or what came back."""
        try:
            return action()
        except HdfsError as error:
            return error.exception

    def what(self, action: Callable[[], object]) -> object:
        """The type of the product's own error, or what came back."""
        try:
            return action()
        except (LakeError, WarehouseError) as error:
            return type(error)

    def candles(self, folder: str, name: str, *rows: Candle) -> str:
        """Publish a Parquet file of candles in a folder below the check's own; returns the folder."""
        path = f"{self.folder}/{folder}"
        self.lake.publish(f"{path}/{name}", encode(to_table(rows)))
        return path

    def rows(self, sql: str) -> object:
        """Sorted rows of a SELECT on this check's database `{db}`, or the type of the error."""
        return self.what(lambda: sorted(self.hive.query(sql.format(db=self.settings.database))))


def names_are_listed_in_order(edge: Edge) -> None:
    for name in ("b", "A", "_c.json", "a-1", "a.b", "10", "9"):
        edge.lake.create(f"{edge.folder}/{name}", name.encode())
    edge.lake.make_folder(f"{edge.folder}/folder/below")
    assert [entry.name for entry in edge.lake.list(edge.folder)] == sorted(
        ["b", "A", "_c.json", "a-1", "a.b", "10", "9", "folder"]
    )
    there = {entry.name: (entry.is_dir, entry.size) for entry in edge.lake.list(edge.folder)}
    assert (there["_c.json"], there["folder"]) == ((False, 7), (True, 0))
    assert edge.lake.list(f"{edge.folder}/none") == []
    assert edge.said(lambda: edge.client.list_status(f"{edge.folder}/none")) == "FileNotFoundException"
    (row,) = edge.client.list_status(f"{edge.folder}/b")
    assert (row["pathSuffix"], row["type"]) == ("", "FILE"), "a file's listing is the file itself"


def a_name_is_created_once(edge: Edge) -> None:
    path = f"{edge.folder}/deep/er/a"
    edge.lake.create(path, b"one")
    assert edge.what(lambda: edge.lake.create(path, b"two")) is LakeConflict
    assert edge.said(lambda: edge.client.write(path, data=b"two", overwrite=False)) == "FileAlreadyExistsException"
    assert edge.said(lambda: edge.client.write(f"{edge.folder}/deep", data=b"two")) == "FileAlreadyExistsException"
    assert edge.said(lambda: edge.client.write(f"{path}/below", data=b"x")) == "ParentNotDirectoryException"
    assert edge.lake.read(path) == b"one"
    edge.lake.create(f"{edge.folder}/empty", b"")
    assert edge.lake.read(f"{edge.folder}/empty") == b""


def bytes_are_read_from_where_one_wants(edge: Edge) -> None:
    path = f"{edge.folder}/a"
    edge.lake.create(path, b"0123456789")
    assert [edge.lake.read(path), edge.lake.read(path, 3), edge.lake.read(path, 3, 2), edge.lake.read(path, 8, 99)] == [
        b"0123456789", b"3456789", b"34", b"89",
    ]  # fmt: skip
    assert edge.said(lambda: edge.client.read(path, offset=11).__enter__()) == "IOException"
    assert edge.what(lambda: edge.lake.read(f"{edge.folder}/none")) is LakeCorrupt
    assert edge.said(lambda: edge.client.read(edge.folder).__enter__()) == "FileNotFoundException"
    assert [edge.lake.size(path), edge.lake.size(edge.folder), edge.lake.size(f"{edge.folder}/none/b")] == [10, 0, None]
    below_a_file = edge.said(lambda: edge.client.status(f"{path}/b"))
    assert below_a_file == "AccessControlException", below_a_file
    assert [edge.lake.exists(edge.folder), edge.lake.exists(f"{edge.folder}/none")] == [True, False]


def a_rename_never_overwrites(edge: Edge) -> None:
    at = edge.folder
    for name in ("a", "b", "full/x", "other/y"):
        edge.lake.create(f"{at}/{name}", name.encode())
    edge.lake.make_folder(f"{at}/empty")

    def rename(source: str, target: str) -> object:
        return edge.said(lambda: edge.client.rename_with(f"{at}/{source}", f"{at}/{target}", "NONE"))

    assert rename("a", "b") == "FileAlreadyExistsException"
    assert rename("full", "empty") == "FileAlreadyExistsException"
    assert rename("full", "other") == "FileAlreadyExistsException"
    assert rename("a", "a") == "FileAlreadyExistsException"
    assert rename("a", "empty") == "IOException"
    assert rename("full", "b") == "IOException"
    assert rename("full", "full/deeper") == "IOException"
    assert rename("none", "new") == "FileNotFoundException"
    assert rename("a", "none/new") == "FileNotFoundException"
    assert rename("a", "b/new") == "ParentNotDirectoryException"
    assert edge.what(lambda: edge.lake.rename(f"{at}/full", f"{at}/other")) is LakeConflict
    edge.lake.rename(f"{at}/full", f"{at}/other/full")
    assert [entry.name for entry in edge.lake.list(f"{at}/other")] == ["full", "y"]
    assert edge.lake.read(f"{at}/other/full/x") == b"full/x"
    assert edge.lake.read(f"{at}/b") == b"b"


def a_swap_replaces_files_alone(edge: Edge) -> None:
    at = edge.folder
    for version in (b"one", b"two"):
        edge.lake.replace(f"{at}/a", version)
        assert edge.lake.read(f"{at}/a") == version
    edge.lake.create(f"{at}/full/x", b"x")
    edge.lake.make_folder(f"{at}/empty")

    def swap(source: str, target: str) -> object:
        return edge.said(lambda: edge.client.rename_with(f"{at}/{source}", f"{at}/{target}", "OVERWRITE"))

    assert swap("empty", "full") == "IOException"
    assert swap("a", "full") == "IOException"
    assert swap("full", "empty") is None
    assert [entry.name for entry in edge.lake.list(at)] == ["a", "empty"]


def what_is_deleted_is_gone_with_all_below_it(edge: Edge) -> None:
    edge.lake.create(f"{edge.folder}/a/b/c", b"x")
    assert edge.said(lambda: edge.client.delete(f"{edge.folder}/a")) == "PathIsNotEmptyDirectoryException"
    edge.lake.delete(f"{edge.folder}/a")
    edge.lake.delete(f"{edge.folder}/a")
    assert edge.lake.list(edge.folder) == []
    edge.lake.make_folder(f"{edge.folder}/x/y")
    edge.lake.make_folder(f"{edge.folder}/x/y")
    edge.lake.create(f"{edge.folder}/x/file", b"")
    assert edge.said(lambda: edge.client.makedirs(f"{edge.folder}/x/file")) == "FileAlreadyExistsException"


def a_file_is_seen_before_its_bytes_are(edge: Edge) -> None:
    """While one writer is at work, its name is taken, and shows no byte; a writer that is cut off leaves what came."""
    path, seen = f"{edge.folder}/a", Event()
    found: list[object] = []

    def body() -> Any:
        yield b"0" * 100
        # What a WebHDFS write has sent is under way in the DataNode: its name appears soon after.
        while not edge.lake.list(edge.folder):
            seen.wait(0.02)
        found.append([(entry.name, entry.size) for entry in edge.lake.list(edge.folder)])
        found.append(edge.what(lambda: edge.lake.create(path, b"other")))
        yield b"1" * 100

    edge.client.write(path, data=body(), overwrite=False)
    assert found == [[("a", 0)], LakeConflict]
    assert edge.lake.read(path) == b"0" * 100 + b"1" * 100


def times_are_those_of_writing_and_of_names(edge: Edge) -> None:
    """A renamed file keeps its own time; the folder that it came into has changed."""

    def modified(folder: str, name: str) -> Any:
        return next(entry.modified for entry in edge.lake.list(folder) if entry.name == name)

    edge.lake.create(f"{edge.folder}/in/a", b"x")
    edge.lake.make_folder(f"{edge.folder}/out")
    before, made = modified(f"{edge.folder}/in", "a"), modified(edge.folder, "out")
    edge.lake.rename(f"{edge.folder}/in/a", f"{edge.folder}/out/b")
    assert modified(f"{edge.folder}/out", "b") == before
    assert modified(edge.folder, "out") >= made


HDFS: list[Callable[[Edge], None]] = [
    names_are_listed_in_order,
    a_name_is_created_once,
    bytes_are_read_from_where_one_wants,
    a_rename_never_overwrites,
    a_swap_replaces_files_alone,
    what_is_deleted_is_gone_with_all_below_it,
    a_file_is_seen_before_its_bytes_are,
    times_are_those_of_writing_and_of_names,
]


def a_day_is_made_moved_and_asked(edge: Edge) -> None:
    """All that the product says of a day, statement by statement."""
    first = edge.candles("live-1", "a.parquet", ROW)
    second = edge.candles("day-1", "candle.parquet", ROW, OTHER)
    assert tables.days(edge.hive, edge.settings, "candle") == []
    assert tables.locations(edge.hive, edge.settings, "candle", [DAY]) == {}
    for folder, rows in ((first, [ROW]), (first, [ROW]), (second, [ROW, OTHER])):
        tables.ensure_day(edge.hive, edge.settings, "candle", DAY, folder)
        assert tables.is_registered(edge.hive, edge.settings, "candle", DAY, folder)
        assert tables.locations(edge.hive, edge.settings, "candle", [DAY, "261125"]) == {DAY: folder}
        assert edge.rows("SELECT * FROM {db}.candle_261124") == [astuple(row) for row in rows]
        assert edge.rows("SELECT * FROM {db}.candle WHERE dt = '2026-11-24'") == [(*astuple(row), DT) for row in rows]
    assert tables.days(edge.hive, edge.settings, "candle") == [DAY]
    assert {place.location for place in tables.pointers(edge.hive, edge.settings, "candle", DAY)} == {second}
    assert edge.rows("SELECT market, trade_price FROM {db}.candle WHERE market IN ('KRW-ETH', 'x')") == [
        ("KRW-ETH", 1.25)
    ]
    assert edge.rows("SELECT count(*) FROM {db}.candle") == [(2,)]
    assert edge.rows("SELECT market FROM {db}.candle WHERE dt = '2026-11-25'") == []


def what_is_not_there_is_refused(edge: Edge) -> None:
    folder = edge.candles("live-1", "a.parquet", ROW)
    tables.ensure_day(edge.hive, edge.settings, "candle", DAY, folder)
    name, uri = edge.settings.database, f"{edge.settings.hdfs_uri}{folder}"
    for sql in (
        f"SELECT * FROM {name}.nowhere",
        "SHOW TABLES IN nowhere LIKE 'candle'",
        f"SHOW PARTITIONS {name}.nowhere",
        f"SHOW PARTITIONS {name}.candle_261124",
        f"DESCRIBE FORMATTED {name}.candle PARTITION (dt='2026-01-01')",
        f"ALTER TABLE {name}.nowhere SET LOCATION '{uri}'",
        f"ALTER TABLE {name}.candle PARTITION (dt='2026-01-01') SET LOCATION '{uri}'",
        f"ALTER TABLE {name}.nowhere ADD IF NOT EXISTS PARTITION (dt='2026-01-01') LOCATION '{uri}'",
        "no statement at all",
    ):
        assert edge.what(lambda sql=sql: edge.hive.execute(sql)) is QueryFailed, sql  # type: ignore[misc]
    edge.hive.execute(f"DROP TABLE {name}.nowhere")
    assert edge.what(lambda: edge.hive.query(f"SHOW TABLES IN {name} LIKE 'nowhere'")) == []
    assert edge.what(lambda: edge.hive.query("SHOW DATABASES LIKE 'nowhere'")) == []


def hive_reads_what_lies_in_the_folder_now(edge: Edge) -> None:
    """Hidden names are no files, a missing folder has no rows, what is no Parquet fails every query on it."""
    folder = edge.candles("live-1", "a.parquet", ROW)
    tables.ensure_day(edge.hive, edge.settings, "candle", DAY, folder)
    edge.lake.create(f"{folder}/_lease", b"no Parquet")
    edge.candles("live-1", "b.parquet", OTHER)
    assert edge.rows("SELECT market FROM {db}.candle_261124") == [("KRW-BTC",), ("KRW-ETH",)]
    edge.candles("live-1/below", "c.parquet", ROW)
    assert edge.rows("SELECT market FROM {db}.candle_261124") == [("KRW-BTC",), ("KRW-BTC",), ("KRW-ETH",)]
    edge.lake.create(f"{folder}/c.parquet", b"no Parquet")
    assert edge.rows("SELECT market FROM {db}.candle_261124") is QueryFailed
    edge.lake.delete(folder)
    assert edge.rows("SELECT market FROM {db}.candle WHERE dt = '2026-11-24'") == []


def a_new_table_makes_its_folder_and_a_dropped_one_leaves_it(edge: Edge) -> None:
    folder = f"{edge.folder}/not-yet"
    tables.ensure_day(edge.hive, edge.settings, "candle", DAY, folder)
    assert edge.lake.list(folder) == []
    assert edge.lake.exists(folder)
    edge.candles("not-yet", "a.parquet", ROW)
    edge.hive.execute(f"DROP TABLE {edge.settings.database}.candle_261124")
    assert [entry.name for entry in edge.lake.list(folder)] == ["a.parquet"]
    edge.hive.execute(f"DROP DATABASE IF EXISTS {edge.settings.database} CASCADE")
    assert [entry.name for entry in edge.lake.list(folder)] == ["a.parquet"]
    assert tables.days(edge.hive, edge.settings, "candle") == []


def what_an_earlier_release_made_gets_the_columns_that_it_lacks(edge: Edge) -> None:
    """And no row of its files is lost: those without a column have NULL there."""
    name, days = edge.settings.database, {"261123": "2026-11-23", DAY: DT}
    old = encode(to_table([OTHER]).drop_columns(["unit"]))
    at = {day: edge.candles(f"{day}-live-1", "a.parquet", ROW) for day in days}
    for folder in at.values():
        edge.lake.publish(f"{folder}/old.parquet", old)
    table = (
        "CREATE EXTERNAL TABLE IF NOT EXISTS {name} (\n    market STRING\n)\n{more}STORED AS PARQUET LOCATION '{at}'"
    )
    made = table.format(name=f"{name}.candle", more="PARTITIONED BY (dt STRING)\n", at=edge.folder)
    edge.hive.execute(f"CREATE DATABASE IF NOT EXISTS {name}", made)
    for day, dt in days.items():
        edge.hive.execute(
            table.format(name=f"{name}.candle_{day}", more="", at=at[day]),
            f"ALTER TABLE {name}.candle ADD IF NOT EXISTS PARTITION (dt='{dt}') LOCATION '{at[day]}'",
        )

    def shown() -> list[bool]:
        return [tables.is_registered(edge.hive, edge.settings, "candle", day, at[day]) for day in days]

    assert shown() == [False, False]
    tables.ensure_day(edge.hive, edge.settings, "candle", DAY, at[DAY])
    assert shown() == [False, True]
    select = "SELECT market, trade_price, unit FROM {db}.%s WHERE dt = '2026-11-24'"
    wide = [("KRW-BTC", 1.5, 1), ("KRW-ETH", 1.25, None)]
    assert edge.rows(select % "candle") == wide
    assert edge.rows((select % "candle_261124").split(" WHERE")[0]) == wide
    assert edge.what(lambda: len(edge.hive.query(f"SELECT * FROM {name}.candle"))) == 4, (
        "also with a day that is narrow"
    )
    tables.ensure_day(edge.hive, edge.settings, "candle", "261123", at["261123"])
    assert shown() == [True, True]
    assert edge.rows((select % "candle").replace("-24'", "-23'")) == wide


def a_hidden_day_leaves_its_files_and_the_other_days(edge: Edge) -> None:
    days = ("261122", "261123")
    table = pa.Table.from_pylist([dict.fromkeys(FORECAST_SCHEMA.names)], schema=FORECAST_SCHEMA)
    tables.hide_day(edge.hive, edge.settings, "forecast", days[0])  # where there is no table at all
    for day in days:
        edge.lake.publish(f"{edge.folder}/{day}/live-1/a.parquet", encode(table))
        tables.ensure_day(edge.hive, edge.settings, "forecast", day, f"{edge.folder}/{day}/live-1")
    assert tables.is_visible(edge.hive, edge.settings, "forecast", days[0])
    for _ in range(2):
        tables.hide_day(edge.hive, edge.settings, "forecast", days[0])
        assert [tables.is_visible(edge.hive, edge.settings, "forecast", day) for day in days] == [False, True]
        assert tables.days(edge.hive, edge.settings, "forecast") == [days[1]]
    assert edge.rows("SELECT count(*) FROM {db}.forecast") == [(1,)]
    assert edge.rows(f"SELECT count(*) FROM {{db}}.forecast_{days[0]}") is QueryFailed
    assert edge.lake.exists(f"{edge.folder}/{days[0]}/live-1/a.parquet")
    edge.hive.execute(f"ALTER TABLE {edge.settings.database}.forecast DROP IF EXISTS PARTITION (dt='2026-11-23')")
    assert tables.is_visible(edge.hive, edge.settings, "forecast", days[1]), "its daily table alone is there"


HIVE: list[Callable[[Edge], None]] = [
    a_day_is_made_moved_and_asked,
    what_is_not_there_is_refused,
    hive_reads_what_lies_in_the_folder_now,
    a_new_table_makes_its_folder_and_a_dropped_one_leaves_it,
    what_an_earlier_release_made_gets_the_columns_that_it_lacks,
    a_hidden_day_leaves_its_files_and_the_other_days,
]
CHECKS = [*HDFS, *HIVE]


def own_settings(settings: Settings) -> Settings:
    """The same daemons with databases of its own."""
    return settings.model_copy(update={"dataset": f"t{uuid4().hex[:12]}"})
