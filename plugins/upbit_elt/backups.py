"""Backups in a folder: each is a folder of its own, named by its time, and appears whole; old ones go.

    <folder>/2026-11-28T040000Z/            a backup; SHA256SUMS in it names every file
    <folder>/2026-11-28T040000Z.part/       one that is being made, or was killed: the next one removes it

What goes into a backup is said by whoever makes one (`./run`, docker/app/backup.py).
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from upbit_elt.clock import Clock
from upbit_elt.errors import BackupFailed, UpbitEltError
from upbit_elt.files import write_atomically

log = logging.getLogger(__name__)
SUMS = "SHA256SUMS"
EVERY, RETRY, LATE = timedelta(days=1), timedelta(hours=1), timedelta(hours=26)
LOOK = 60.0  # seconds
AWAY = "nothing makes backups: the service for it has not started"
_TIME, _PART = "%Y-%m-%dT%H%M%SZ", ".part"
Parts = Mapping[str, Callable[[BinaryIO], None]]


class Note(BaseModel):
    """What `backup.json` in the state folder says of the daily backups; `error` of the last try, "" if it went well."""

    since: datetime
    made: datetime | None = None
    error: str = ""

    def trouble(self, now: datetime) -> str:
        """What is wrong, in words; "" while nothing is."""
        if self.error:
            return self.error
        if now - (self.made or self.since) <= LATE:
            return ""
        return f"the newest backup is of {self.made:%Y-%m-%dT%H:%MZ}" if self.made else "no backup was made for a day"


def make(folder: Path, parts: Parts, now: datetime) -> Path:
    """Make a backup of `parts`, each by its path in the backup, written by a function into the file it is given.

    Raises:
        BackupFailed: another backup into the folder is at work, or the folder cannot be written to. What else a part
            raises goes on. In both cases no backup appears.
    """
    finished = folder / f"{now:{_TIME}}"
    with _alone(folder):
        for killed in folder.glob(f"20*{_PART}"):
            shutil.rmtree(killed)
        part = finished.with_name(finished.name + _PART)
        part.mkdir(mode=0o700)
        sums = [f"{_written(part / name, write)}  {name}\n" for name, write in parts.items()]
        _written(part / SUMS, lambda file: _write(file, "".join(sums)))
        _owned_as(folder, part)
        part.rename(finished)
        _synced(folder)
    return finished


def check(backup: Path) -> None:
    """Hold every file of a backup against its checksum.

    Raises:
        BackupFailed: it is not a complete backup; the message names the file.
    """
    try:
        lines = (backup / SUMS).read_text().splitlines()
        for line in lines:
            want, _, name = line.partition("  ")
            with (backup / name).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != want:
                    raise BackupFailed(f"{backup} is not a complete backup: {name} differs from its checksum")
    except FileNotFoundError as error:
        raise BackupFailed(f"{backup} is not a complete backup: {error.filename} is missing") from error


def made(folder: Path) -> list[tuple[datetime, Path]]:
    """Whole backups in a folder with their times, the newest first."""
    times = ((_time_of(path), path) for path in folder.glob("20*Z") if path.is_dir())
    return sorted(((moment, path) for moment, path in times if moment), reverse=True)


def prune(folder: Path, count: int, days: int, now: datetime) -> list[Path]:
    """Remove what is not of the newest `keep`, or older than so many days; the newest stays. Returns what went."""
    old = [
        path
        for place, (moment, path) in enumerate(made(folder))
        if place >= count or (place > 0 and now - moment > timedelta(days=days))
    ]
    for path in old:
        gone = path.with_name(path.name + _PART)  # what is half removed is no backup
        path.rename(gone)
        shutil.rmtree(gone)
        log.info("removed the old backup %s", path)
    return old


class Daily:
    """Makes a backup a day after the last one, tries again in an hour, and notes in `state` how it went."""

    def __init__(self, folder: Path, state: Path, once: Callable[[], Path], clock: Clock) -> None:
        self._folder, self._state, self._once, self._clock = folder, state, once, clock
        self._tried: datetime | None = None
        before = noted(state)
        self._note = Note(since=before.since if before else clock.now(), made=self._last_made())
        self._save()

    def run(self) -> None:
        """Look every minute, for ever."""
        while True:
            self.look()
            self._clock.sleep(LOOK)

    def look(self) -> None:
        """Make a backup if one is due; what goes wrong with it is noted, and nothing is raised."""
        now, last = self._clock.now(), self._last_made()
        waits = self._tried is not None and now - self._tried < RETRY
        if not waits and (last is None or now - last >= EVERY):
            error = self._try(now)
            self._note = self._note.model_copy(update={"made": self._last_made(), "error": error})
        self._save()

    def _try(self, now: datetime) -> str:
        self._tried = now
        try:
            log.info("made %s", self._once())
        except (UpbitEltError, OSError) as error:
            log.warning("no backup, next try in an hour: %s", error)
            return f"the last backup failed: {error}"
        return ""

    def _save(self) -> None:
        write_atomically(note_file(self._state), self._note.model_dump_json(indent=2))

    def _last_made(self) -> datetime | None:
        return next((moment for moment, _ in made(self._folder)), None)


def note_file(state: Path) -> Path:
    """Where the state folder says how the daily backups go."""
    return state / "backup.json"


def noted(state: Path) -> Note | None:
    """What the state folder says of the daily backups; None when it does not."""
    try:
        return Note.model_validate_json(note_file(state).read_text())
    except (FileNotFoundError, ValidationError):
        return None


def trouble(state: Path, now: datetime) -> str:
    """What is wrong with the daily backups where they are switched on, in words; "" while nothing is."""
    note = noted(state)
    return note.trouble(now) if note else AWAY


def failing(state: Path) -> str:
    """As `trouble`, but of the service that makes them and not of a backup's age: a new one may be under way."""
    note = noted(state)
    return note.error if note else AWAY


def copied(file: Path) -> Callable[[BinaryIO], None]:
    """A part of a backup: the file as it is."""

    def write(out: BinaryIO) -> None:
        with file.open("rb") as source:
            shutil.copyfileobj(source, out)

    return write


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise BackupFailed(f"another backup into {folder} is at work: wait for it") from None
    except OSError as error:
        raise BackupFailed(f"{error.filename or folder}: {error.strerror or error}") from error


def _written(path: Path, write: Callable[[BinaryIO], None]) -> str:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(file: BinaryIO, text: str) -> None:
    file.write(text.encode())


def _owned_as(folder: Path, part: Path) -> None:
    """As root (in a container) give it to the owner of the folder."""
    if os.geteuid() == 0:
        owner = folder.stat()
        for path in (part, *part.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)


def _synced(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _time_of(path: Path) -> datetime | None:
    try:
        return datetime.strptime(path.name, _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
