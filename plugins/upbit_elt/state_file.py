"""Small SQLite files in the state folder, shared by all processes of a machine."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from upbit_elt.errors import StateBusy, StateUnavailable

log = logging.getLogger(__name__)
# Seconds to wait for other processes that write. SQLite looks every 0.1 s whether the file is free, in no order.
PATIENCE = 10.0
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_WHY = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk gives errors, or is full",
    sqlite3.SQLITE_READONLY: "it is another user's, or its disk is read-only",
    sqlite3.SQLITE_CANTOPEN: "its folder is gone or another user's, or the disk is full",
}


@contextmanager
def opened(file: Path, schema: str, patience: float = PATIENCE) -> Iterator[sqlite3.Connection]:
    """Open the file for the block, in autocommit mode; `schema` holds the statements that create missing tables.

    A statement waits up to `patience` seconds for other processes. A damaged file is replaced by an empty one; a loss
    of power may damage it.

    Raises:
        StateBusy: other processes had the file for all that time.
        StateUnavailable: the file cannot be used for another reason, which the message says, or was damaged.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateUnavailable(f"{file.parent} cannot be made: {error}") from error
    try:
        with closing(_connected(file, schema, patience)) as connection:
            yield connection
    except sqlite3.DatabaseError as error:
        raise _state_error(file, error, patience) from error


def _connected(file: Path, schema: str, patience: float) -> sqlite3.Connection:
    try:
        return _prepared(file, schema, patience)
    except sqlite3.DatabaseError as error:
        if not _damaged(error):
            raise
        _remove(file, error)
        return _prepared(file, schema, patience)


def _prepared(file: Path, schema: str, patience: float) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=patience, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript(schema)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _state_error(file: Path, error: sqlite3.DatabaseError, patience: float) -> StateUnavailable:
    code = _code(error)
    if code in _BUSY:
        return StateBusy(f"{file} was in use by other processes for {patience:.0f} s ({error}): the machine is busy")
    if _damaged(error):
        _remove(file, error)
        return StateUnavailable(f"{file} was damaged ({error}), and is replaced by an empty file: try again")
    why = _WHY.get(code)
    return StateUnavailable(f"{file} cannot be written: {why} ({error})" if why else f"{file} cannot be used: {error}")


def _damaged(error: sqlite3.DatabaseError) -> bool:
    return _code(error) in _DAMAGED


def _code(error: sqlite3.DatabaseError) -> int:
    """SQLite's primary result code (sqlite.org/rescode.html), 0 for an error of Python's module."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _remove(file: Path, error: sqlite3.DatabaseError) -> None:
    log.warning("%s is damaged and is replaced by an empty file: %s", file, error)
    file.unlink(missing_ok=True)
