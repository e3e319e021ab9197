"""The tables of a day: `candle_yyMMdd`, and the day's partition of `candle` over the same folder.

Reconciliations have the partition alone.

Both always point at the same leaf folder, the day's current snapshot, and have every column of hive/ddl; each call
checks that and corrects it. So a new column reaches tables of an earlier release: the open day's with the next run,
older ones with `housekeeping`, which checks all days. A column that this release does not know stays as it is.
Each call runs several statements: a caller of more than one should pass a session.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from string import Template
from typing import NamedTuple
from urllib.parse import urlsplit

from upbit_elt.lake.layout import Expiring, Kind, kind_folder
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Statements

# Kinds whose days have a table of their own besides their partition.
DAILY: tuple[Kind, ...] = ("candle", "forecast", "score")
DDL = Path(__file__).resolve().parents[3] / "hive" / "ddl"
COLUMN = re.compile(r"^ {4}`?(\w+)`? ([A-Z]+),?$", re.MULTILINE)


class Pointer(NamedTuple):
    """A leaf folder in HDFS (no scheme, no host) at which a table or partition points.

    `since` (UTC, the metastore's clock) is its last change of any kind, so it has pointed there at least since then.
    """

    location: str
    since: datetime


def daily_table(kind: Kind, day: str) -> str:
    """The name of a KST day's table, as `candle_yyMMdd`."""
    return f"{kind}_{day}"


def partition(day: str) -> str:
    """The value of the partition column `dt` for a KST day `yyMMdd`, as `yyyy-MM-dd`."""
    return datetime.strptime(day, "%y%m%d").strftime("%Y-%m-%d")


def ensure_day(hive: Statements, settings: Settings, kind: Kind, day: str, location: str) -> None:
    """Create missing databases, tables, views and the partition, and add new columns of hive/ddl to older ones; then
    point the daily table and the partition at `location` (a leaf folder).

    Each of the two takes one metastore operation; when a run dies between them, the next one does the other.
    """
    uri = f"{settings.hdfs_uri}{location}"
    database = settings.database
    ensure_view(hive, settings, kind)
    hive.execute(f"ALTER TABLE {database}.{kind} ADD IF NOT EXISTS PARTITION (dt='{partition(day)}') LOCATION '{uri}'")
    if kind in DAILY:
        daily = daily_table(kind, day)
        hive.execute(_create(settings, kind, daily, uri, partitioned=False))
        _settle(hive, kind, f"{database}.{daily}", uri)
    _settle(hive, kind, _partition_of(settings, kind, day), uri)


def ensure_view(hive: Statements, settings: Settings, kind: Kind) -> None:
    """Make databases, the table over all days of a kind and its view where they are missing, and bring those of an
    earlier release up to hive/ddl; a kind that has no day yet has no rows."""
    database, all_days = settings.database, f"{settings.database}.{kind}"
    hive.execute(
        f"CREATE DATABASE IF NOT EXISTS {database}",
        f"CREATE DATABASE IF NOT EXISTS {settings.bi_database}",
        _create(settings, kind, kind, _root(settings, kind), partitioned=True),
    )
    _widen(hive, kind, all_days, _describe(hive, all_days))
    hive.execute(_ddl(f"bi_{kind}", database=database, bi_database=settings.bi_database))


@cache
def columns(kind: Kind) -> dict[str, str]:
    """The names and types of a kind's columns by hive/ddl, without the partition column `dt`."""
    return dict(COLUMN.findall(_text(kind)))


def hide_day(hive: Statements, settings: Settings, kind: Expiring, day: str) -> None:
    """Drop a KST day's table and partition from Hive, if they exist; the files stay."""
    if not _is_there(hive, settings, kind):
        return
    name, dt = f"{settings.database}.{kind}", partition(day)
    hive.execute(
        f"DROP TABLE IF EXISTS {settings.database}.{daily_table(kind, day)}",
        f"ALTER TABLE {name} DROP IF EXISTS PARTITION (dt='{dt}')",
    )


def days(hive: Statements, settings: Settings, kind: Kind) -> list[str]:
    """The KST days `yyMMdd` that have a partition, oldest first; [] before the first."""
    if not _is_there(hive, settings, kind):
        return []
    rows = hive.query(f"SHOW PARTITIONS {settings.database}.{kind}")
    return sorted(datetime.strptime(name, "dt=%Y-%m-%d").strftime("%y%m%d") for (name,) in rows)


def locations(hive: Statements, settings: Settings, kind: Kind, wanted: Iterable[str]) -> dict[str, str]:
    """The HDFS folder (no scheme, no host) of each wanted KST day `yyMMdd` that has a partition.

    Each day costs two statements, however many days Hive has.
    """
    if not _is_there(hive, settings, kind):
        return {}
    registered = [day for day in sorted(set(wanted)) if _has_partition(hive, settings, kind, day)]
    return {day: urlsplit(_location(hive, _partition_of(settings, kind, day))).path for day in registered}


def is_registered(hive: Statements, settings: Settings, kind: Kind, day: str, location: str) -> bool:
    """Whether the daily table and the partition of a KST day exist, point at `location` and have every column."""
    if not _is_there(hive, settings, kind) or not _has_partition(hive, settings, kind, day):
        return False
    if not _fits(_describe(hive, _partition_of(settings, kind, day)), kind, location):
        return False
    if kind not in DAILY:
        return True
    daily = daily_table(kind, day)
    if not hive.query(f"SHOW TABLES IN {settings.database} LIKE '{daily}'"):
        return False
    return _fits(_describe(hive, f"{settings.database}.{daily}"), kind, location)


def is_visible(hive: Statements, settings: Settings, kind: Kind, day: str) -> bool:
    """Whether a KST day has a table or a partition in Hive."""
    if not _is_there(hive, settings, kind):
        return False
    daily = f"SHOW TABLES IN {settings.database} LIKE '{daily_table(kind, day)}'"
    return _has_partition(hive, settings, kind, day) or bool(hive.query(daily))


def pointers(hive: Statements, settings: Settings, kind: Kind, day: str) -> list[Pointer]:
    """Where the daily table and the partition of a KST day `yyMMdd` point; [] while one of them is missing."""
    daily, all_days = daily_table(kind, day), _partition_of(settings, kind, day)
    if not _is_there(hive, settings, kind) or not _has_partition(hive, settings, kind, day):
        return []
    if kind not in DAILY:
        return [_pointer(_describe(hive, all_days))]
    if not hive.query(f"SHOW TABLES IN {settings.database} LIKE '{daily}'"):
        return []
    return [_pointer(_describe(hive, target)) for target in (f"{settings.database}.{daily}", all_days)]


def _is_there(hive: Statements, settings: Settings, kind: Kind) -> bool:
    """Whether the table over all days of a kind exists."""
    if not hive.query(f"SHOW DATABASES LIKE '{settings.database}'"):
        return False
    return bool(hive.query(f"SHOW TABLES IN {settings.database} LIKE '{kind}'"))


def _has_partition(hive: Statements, settings: Settings, kind: Kind, day: str) -> bool:
    return bool(hive.query(f"SHOW PARTITIONS {_partition_of(settings, kind, day)}"))


def _pointer(described: Mapping[str, str]) -> Pointer:
    since = datetime.fromtimestamp(int(described["transient_lastDdlTime"]), UTC)
    return Pointer(urlsplit(described["Location:"]).path, since)


def _partition_of(settings: Settings, kind: Kind, day: str) -> str:
    return f"{settings.database}.{kind} PARTITION (dt='{partition(day)}')"


def _fits(described: Mapping[str, str], kind: Kind, location: str) -> bool:
    return urlsplit(described["Location:"]).path == location and not _lacking(described, kind)


def _lacking(described: Mapping[str, str], kind: Kind) -> dict[str, str]:
    return {name: type_ for name, type_ in columns(kind).items() if name not in described}


def _widen(hive: Statements, kind: Kind, target: str, described: Mapping[str, str]) -> None:
    """Add the columns that a table or partition lacks; its existing rows have NULL there."""
    if lacking := _lacking(described, kind):
        added = ", ".join(f"`{name}` {type_}" for name, type_ in lacking.items())
        hive.execute(f"ALTER TABLE {target} ADD COLUMNS ({added})")


def _settle(hive: Statements, kind: Kind, target: str, uri: str) -> None:
    """Add the columns that a table or partition lacks, and point it at `uri`."""
    described = _describe(hive, target)
    _widen(hive, kind, target, described)
    if described["Location:"] != uri:
        hive.execute(f"ALTER TABLE {target} SET LOCATION '{uri}'")


def _location(hive: Statements, target: str) -> str:
    return _describe(hive, target)["Location:"]


def _describe(hive: Statements, target: str) -> dict[str, str]:
    """The values of DESCRIBE FORMATTED by name: a field's value is in the second column, a parameter's in the third."""
    rows = hive.query(f"DESCRIBE FORMATTED {target}")
    named = [(name or "", value or "", more or "") for name, value, more in rows]
    return {(name.strip() or value.strip()): (value if name.strip() else more).strip() for name, value, more in named}


def _create(settings: Settings, kind: Kind, table: str, location: str, *, partitioned: bool) -> str:
    clause = "PARTITIONED BY (dt STRING)" if partitioned else ""
    return _ddl(kind, database=settings.database, table=table, location=location, partitioned=clause)


def _root(settings: Settings, kind: Kind) -> str:
    return settings.hdfs_uri + kind_folder(settings.lake_root, kind)


def _ddl(name: str, **values: str) -> str:
    return Template(_text(name)).substitute(values)


def _text(name: str) -> str:
    lines = (DDL / f"{name}.sql").read_text().splitlines()
    return "\n".join(line for line in lines if not line.startswith("--"))
