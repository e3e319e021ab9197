"""A copy of the lake in a local folder, read as the lake itself is read: for notebooks on a machine without HDFS."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from hdfs.util import HdfsError

from upbit_elt.errors import ConfigError, LakeCorrupt
from upbit_elt.lake.webhdfs import Entry, Lake


class FolderLake(Lake):
    """The files below a local folder that holds `candle/` (and `forecast/`, `reconciliation/`). Nothing can be written.

    Raises ConfigError when there is no folder `candle` in it.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "candle").is_dir():
            raise ConfigError(f"{folder} holds no folder `candle`: name the folder that a copy of the lake begins with")
        super().__init__(_ReadOnly(folder), "")
        self._folder = folder

    def list(self, folder: str) -> list[Entry]:
        """Names in a folder of the copy, sorted; [] when there is no such folder."""
        place = self._place(folder)
        return sorted(map(_entry, place.iterdir())) if place.is_dir() else []

    def size(self, path: str) -> int | None:
        """Length of a file in bytes, None when it is not there."""
        place = self._place(path)
        return place.stat().st_size if place.exists() else None

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of a file from `offset` on, at most `length`. Raises LakeCorrupt when there is no such file."""
        try:
            with self._place(path).open("rb") as file:
                file.seek(offset)
                return file.read(-1 if length is None else length)
        except FileNotFoundError as error:
            raise LakeCorrupt(f"{self._place(path)}: no such file") from error

    def _place(self, path: str) -> Path:
        return self._folder / path.lstrip("/")


class _ReadOnly:
    """Takes the place of the client of WebHDFS; what a copy in a folder cannot do is an error."""

    def __init__(self, folder: Path) -> None:
        self.url = folder.absolute().as_uri()

    def __getattr__(self, name: str) -> NoReturn:
        raise HdfsError("a copy of the lake is only read")


def _entry(place: Path) -> Entry:
    status = place.stat()
    modified = datetime.fromtimestamp(status.st_mtime, UTC)
    return Entry(place.name, place.is_dir(), 0 if place.is_dir() else status.st_size, modified)
