"""A lake and a Hive that a release before has left behind, kept as a file: loaded into a simulated world."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile

import pyarrow as pa

from tests.support.hive import Place, Table
from tests.support.simulation import World, utc

DATA = Path(__file__).parents[1] / "data"
TYPES = {str(kind): kind for kind in (pa.string(), pa.float64(), pa.int64(), pa.int32())}


def load(name: str, begin: str) -> World:
    """The world of `tests/data/<name>.zip` at the moment at which it was kept; `begin` (UTC): since when all is wanted.

    The zip holds the files of HDFS below `hdfs/`, and `world.json`: the time, the exchange's markets, when each file
    was written, and the tables and partitions of Hive.
    """
    with ZipFile(DATA / f"{name}.zip") as kept:
        said = json.loads(kept.read("world.json"))
        world = World.fresh(utc(said["now"]), said["markets"])
        for path, modified in said["modified"]:
            world.hdfs.put(path, kept.read(f"hdfs{path}"))
            node = world.hdfs.find(path)
            assert node
            node.modified = modified
    for table, row in said["tables"].items():
        database, _, short = table.partition(".")
        columns = {column: TYPES[kind] for column, kind in row["columns"].items()}
        places = row["partitions"]
        partitions = None if places is None else {dt: Place(*place) for dt, place in places.items()}
        made = Table(columns, Place(row["uri"], row["changed"]), partitions, row["view"])
        world.hive.databases.setdefault(database, {})[short] = made
    world.begin = utc(begin)
    return world
