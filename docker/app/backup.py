"""Backups of docker compose: `backup.py once|daily|check`, and `backup.py restore-lake` from a tar stream.

In a backup: `airflow.dump` and `hive.dump` (PostgreSQL's), `lake.tar` (all of HDFS), `env` (the settings and
secrets that the databases belong to) and of the state folder what cannot be made again.
"""

from __future__ import annotations

import binascii
import logging
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click
import psycopg

from upbit_elt import backups
from upbit_elt.clock import SystemClock
from upbit_elt.errors import BackupFailed, UpbitEltError
from upbit_elt.lake import archive
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings, settings

DATABASES = ("airflow", "hive")
STATE = ("release.json", "webhook")
SETTINGS = Path("/settings")
# pg_dump has to be of the server's release. One lies beside the server, which runs it for its superuser.
_DUMP = """COPY pg_temp.dump (line) FROM PROGRAM
'bash -o pipefail -c ''PGPASSWORD=$POSTGRES_PASSWORD pg_dump --username postgres --format custom {} | base64'''"""


def dumped(database: str) -> Callable[[BinaryIO], None]:
    """A part of a backup: a database as `pg_restore` takes it."""

    def write(out: BinaryIO) -> None:
        try:
            with closing(psycopg.connect("")) as server, server.cursor() as cursor:  # PGHOST, PGUSER, PGPASSWORD
                cursor.execute("CREATE TEMPORARY TABLE dump (n BIGINT GENERATED ALWAYS AS IDENTITY, line TEXT)")
                cursor.execute(_DUMP.format(database))
                cursor.execute("SELECT line FROM pg_temp.dump ORDER BY n")
                for (line,) in cursor:
                    out.write(binascii.a2b_base64(line))
        except psycopg.Error as error:
            raise BackupFailed(f"PostgreSQL does not give a copy of {database}: {error}") from error

    return write


def once(here: Settings, folder: Path) -> Path:
    """Make a backup, and remove old ones. Raises what backups.make does, and LakeUnavailable."""
    now, lake = datetime.now(UTC), Lake.from_settings(here)
    # the databases first: what tables point at stays in HDFS for a day after they point elsewhere
    parts = {f"{name}.dump": dumped(name) for name in DATABASES}
    parts |= {name: backups.copied(file) for name in STATE if (file := here.state_dir / name).exists()}
    parts |= {"env": backups.copied(SETTINGS), "lake.tar": lambda out: archive.save(lake, out, now)}
    made = backups.make(folder, parts, now)
    backups.prune(folder, here.keep_backups, here.keep_backup_days, now)
    return made


def main(command: str) -> str | None:
    """Words of what went wrong, None when nothing did."""
    here, folder = settings(), settings().backup_folder or Path("/backup")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("upbit_elt").setLevel(logging.INFO)
    try:
        if command == "daily":
            backups.Daily(folder, here.state_dir, lambda: once(here, folder), SystemClock()).run()
        elif command == "once":
            click.echo(once(here, folder).name)
        elif command == "check":
            return backups.failing(here.state_dir) or None
        else:
            click.echo(f"{archive.restore(Lake.from_settings(here), sys.stdin.buffer)} files are back in HDFS")
    except UpbitEltError as error:
        return f"Error: {error}"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
