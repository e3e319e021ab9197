"""Small SQLite files in the state folder, shared by all processes of a machine."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

log = logging.getLogger(__name__)
# Seconds to wait for another process that writes.
BUSY = 10.0


@contextmanager
def opened(file: Path, schema: str) -> Iterator[sqlite3.Connection]:
    """Open the file for the block, in autocommit mode; `schema` is a statement that creates missing tables.

    A damaged file is replaced by an empty one. A loss of power may damage it.

    Raises:
        sqlite3.OperationalError: another process keeps the file locked for long, or the disk is full.
        OSError: the folder cannot be made.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(_connected(file, schema)) as connection:
        yield connection


def _connected(file: Path, schema: str) -> sqlite3.Connection:
    try:
        return _prepared(file, schema)
    except sqlite3.OperationalError:  # busy, or the disk is full
        raise
    except sqlite3.DatabaseError as error:
        log.warning("%s is damaged and is replaced by an empty file: %s", file, error)
        file.unlink(missing_ok=True)
        return _prepared(file, schema)


def _prepared(file: Path, schema: str) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=BUSY, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(schema)
    except sqlite3.Error:
        connection.close()
        raise
    return connection
