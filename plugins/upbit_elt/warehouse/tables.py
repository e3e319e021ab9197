"""The tables of a day: `candle_yyMMdd`, and the day's partition of `candle` over the same folder.

Of reconciliations there is the partition alone.

Both always point at the same leaf folder, the day's current generation; every call checks that and mends it. Each
call is several statements: whoever makes more than one gives them a session.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import NamedTuple
from urllib.parse import urlsplit

from upbit_elt.lake.layout import Kind, kind_folder
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Statements

# Kinds whose days have a table of their own besides their partition.
DAILY: tuple[Kind, ...] = ("candle", "forecast")
DDL = Path(__file__).resolve().parents[3] / "hive" / "ddl"


class Pointer(NamedTuple):
    """A leaf folder in HDFS (no scheme, no host) at which a table or partition points.

    `since` (UTC, the metastore's clock): when it was last changed in any way, so it points there at least as long.
    """

    location: str
    since: datetime


def daily_table(kind: Kind, day: str) -> str:
    """Name of the table of a KST day, `candle_yyMMdd`."""
    return f"{kind}_{day}"


def partition(day: str) -> str:
    """Value of the partition column `dt` of a KST day `yyMMdd`, as `yyyy-MM-dd`."""
    return datetime.strptime(day, "%y%m%d").strftime("%Y-%m-%d")


def ensure_day(hive: Statements, settings: Settings, kind: Kind, day: str, location: str) -> None:
    """Make daily table and partition where they are missing, and point both at `location` (a leaf folder).

    Moving is one metastore operation each; a run that died between the two is mended by the next.
    """
    uri = f"{settings.hdfs_uri}{location}"
    hive.execute(*_partition_made(settings, kind, day, uri))
    if kind in DAILY:
        daily = daily_table(kind, day)
        hive.execute(_create(settings, kind, daily, uri, partitioned=False))
        _point(hive, f"{settings.database}.{daily}", uri)
    _point(hive, _partition_of(settings, kind, day), uri)


def days(hive: Statements, settings: Settings, kind: Kind) -> list[str]:
    """KST days `yyMMdd` that the table over all days shows, oldest first; [] before the first."""
    if not _is_there(hive, settings, kind):
        return []
    rows = hive.query(f"SHOW PARTITIONS {settings.database}.{kind}")
    return sorted(datetime.strptime(name, "dt=%Y-%m-%d").strftime("%y%m%d") for (name,) in rows)


def locations(hive: Statements, settings: Settings, kind: Kind, wanted: Iterable[str]) -> dict[str, str]:
    """HDFS folder (no scheme, no host) of those of the wanted KST days `yyMMdd` that Hive shows.

    Each day costs two statements, however many days Hive has.
    """
    if not _is_there(hive, settings, kind):
        return {}
    shown = [day for day in sorted(set(wanted)) if _has_partition(hive, settings, kind, day)]
    return {day: urlsplit(_location(hive, _partition_of(settings, kind, day))).path for day in shown}


def is_shown(hive: Statements, settings: Settings, kind: Kind, day: str, location: str) -> bool:
    """Whether daily table and partition of a KST day are both there and point at `location`."""
    if locations(hive, settings, kind, [day]).get(day) != location:
        return False
    if kind not in DAILY:
        return True
    daily = daily_table(kind, day)
    if not hive.query(f"SHOW TABLES IN {settings.database} LIKE '{daily}'"):
        return False
    return urlsplit(_location(hive, f"{settings.database}.{daily}")).path == location


def pointers(hive: Statements, settings: Settings, kind: Kind, day: str) -> list[Pointer]:
    """Where daily table and partition of a KST day `yyMMdd` point; [] while one of them is not there."""
    daily, whole = daily_table(kind, day), _partition_of(settings, kind, day)
    if not _is_there(hive, settings, kind) or not _has_partition(hive, settings, kind, day):
        return []
    if kind not in DAILY:
        return [_pointer(_describe(hive, whole))]
    if not hive.query(f"SHOW TABLES IN {settings.database} LIKE '{daily}'"):
        return []
    return [_pointer(_describe(hive, target)) for target in (f"{settings.database}.{daily}", whole)]


def _is_there(hive: Statements, settings: Settings, kind: Kind) -> bool:
    """Whether the table over all days of a kind has been made."""
    if not hive.query(f"SHOW DATABASES LIKE '{settings.database}'"):
        return False
    return bool(hive.query(f"SHOW TABLES IN {settings.database} LIKE '{kind}'"))


def _has_partition(hive: Statements, settings: Settings, kind: Kind, day: str) -> bool:
    return bool(hive.query(f"SHOW PARTITIONS {_partition_of(settings, kind, day)}"))


def _pointer(described: Mapping[str, str]) -> Pointer:
    since = datetime.fromtimestamp(int(described["transient_lastDdlTime"]), UTC)
    return Pointer(urlsplit(described["Location:"]).path, since)


def _partition_made(settings: Settings, kind: Kind, day: str, uri: str) -> list[str]:
    """Statements that make databases, table, view and partition where they are missing."""
    database = settings.database
    return [
        f"CREATE DATABASE IF NOT EXISTS {database}",
        f"CREATE DATABASE IF NOT EXISTS {settings.bi_database}",
        _create(settings, kind, kind, _root(settings, kind), partitioned=True),
        _ddl(f"bi_{kind}", database=database, bi_database=settings.bi_database),
        f"ALTER TABLE {database}.{kind} ADD IF NOT EXISTS PARTITION (dt='{partition(day)}') LOCATION '{uri}'",
    ]


def _partition_of(settings: Settings, kind: Kind, day: str) -> str:
    return f"{settings.database}.{kind} PARTITION (dt='{partition(day)}')"


def _point(hive: Statements, target: str, uri: str) -> None:
    if _location(hive, target) != uri:
        hive.execute(f"ALTER TABLE {target} SET LOCATION '{uri}'")


def _location(hive: Statements, target: str) -> str:
    return _describe(hive, target)["Location:"]


def _describe(hive: Statements, target: str) -> dict[str, str]:
    """What DESCRIBE FORMATTED says, by name: of a parameter (third column) as of a field (second)."""
    rows = hive.query(f"DESCRIBE FORMATTED {target}")
    named = [(name or "", value or "", more or "") for name, value, more in rows]
    return {(name.strip() or value.strip()): (value if name.strip() else more).strip() for name, value, more in named}


def _create(settings: Settings, kind: Kind, table: str, location: str, *, partitioned: bool) -> str:
    clause = "PARTITIONED BY (dt STRING)" if partitioned else ""
    return _ddl(kind, database=settings.database, table=table, location=location, partitioned=clause)


def _root(settings: Settings, kind: Kind) -> str:
    return settings.hdfs_uri + kind_folder(settings.lake_root, kind)


def _ddl(name: str, **values: str) -> str:
    lines = (DDL / f"{name}.sql").read_text().splitlines()
    return Template("\n".join(line for line in lines if not line.startswith("--"))).substitute(values)
