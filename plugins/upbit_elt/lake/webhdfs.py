"""Plain files in HDFS over WebHDFS: they appear whole, and are never overwritten."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import uuid4

import hdfs
import requests
import urllib3
from hdfs.util import HdfsError

from upbit_elt.errors import LakeConflict, LakeCorrupt, LakeUnavailable
from upbit_elt.lake.connect import connect
from upbit_elt.metrics import WEBHDFS_SECONDS, measured
from upbit_elt.settings import Settings

_MISSING = "FileNotFoundException"
_EXISTS = ("FileAlreadyExistsException", "AlreadyBeingCreatedException")
# What HDFS says of a file of which it has no copy of a block (left).
_LOST = ("No active nodes contain this block", "Could not obtain block", "BlockMissingException")
# What the client stumbles over when an answer is JSON of another form than WebHDFS's, or no JSON.
_OTHER_FORM = (requests.JSONDecodeError, LookupError, TypeError, AttributeError)
_LONGEST_WORDS = 300
_QUERY = re.compile(r"\?[\w.-]+=[^\s'\")]*")


class Entry(NamedTuple):
    """One name in a folder; `size` in bytes (0 for folders).

    `modified` (UTC, the NameNode's clock): of a file when it was written, of a folder when a name in it last changed;
    a rename of the entry itself leaves it as it was.
    """

    name: str
    is_dir: bool
    size: int
    modified: datetime


class Lake:
    """Files of one deployment, over a client of its WebHDFS (see `connect`).

    Paths are absolute in HDFS; `root` is where this dataset's folders begin.

    Every method raises LakeUnavailable when WebHDFS does not answer or refuses.
    """

    def __init__(self, client: hdfs.Client, root: str = "") -> None:
        self.url: str = client.url
        self.root = root
        self._client = client

    @classmethod
    def from_settings(cls, settings: Settings) -> Lake:
        """The lake that the settings name. Raises ConfigError when `webhdfs_auth` lacks what it needs."""
        token = settings.webhdfs_token.get_secret_value()
        client = connect(settings.webhdfs_url, settings.webhdfs_user, settings.webhdfs_auth, token)
        return cls(client, settings.lake_root)

    def list(self, folder: str) -> list[Entry]:
        """Names in a folder, sorted; [] when there is no such folder."""
        with self._errors("list", folder):
            try:
                # The public list() asks a second time about a folder that holds one name.
                rows = self._client._list_status(folder).json()["FileStatuses"]["FileStatus"]
            except HdfsError as error:
                if error.exception == _MISSING:
                    return []
                raise
            if [row["pathSuffix"] for row in rows] == [""]:
                raise HdfsError(f"{folder!r} is not a directory.")
        return sorted(_entry(row["pathSuffix"], row) for row in rows)

    def exists(self, path: str) -> bool:
        """Whether a file or folder of this name is there."""
        return self.size(path) is not None

    def size(self, path: str) -> int | None:
        """Length of a file in bytes, None when it is not there."""
        with self._errors("status", path):
            try:
                return int(self._client.status(path)["length"])
            except HdfsError as error:
                if error.exception == _MISSING:
                    return None
                raise

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of a file, or of at most `length` bytes of it from `offset` on, cut off at the file's end.

        A body that is cut short on the way is LakeUnavailable. Raises LakeCorrupt when there is no such file, or when
        HDFS has lost a part of it.
        """
        with self._errors("read", path), self._client.read(path, offset=offset, length=length) as body:
            data = bytes(body.read())
            checked = body.chunked or "Content-Length" in body.headers  # then a cut one has raised already
        if not checked or (length is not None and len(data) < length):
            self._check_length(path, len(data), offset, length)
        return data

    def publish(self, path: str, data: bytes, last_look: Callable[[], None] = lambda: None) -> bool:
        """Make a file appear whole under its name; False when the same bytes were there already.

        `last_look` is called when it is written and not yet visible; what it raises keeps it from becoming so.

        Raises:
            LakeConflict: a file of this name holds other bytes.
        """
        hidden = self.stage(path, data)
        last_look()
        try:
            self.rename(hidden, path)
        except LakeConflict:
            self.delete(hidden)
            if self.read(path) == data:
                return False
            raise
        return True

    def stage(self, path: str, data: bytes) -> str:
        """Write under a name beside `path` that Hive does not read, and check the length. Returns that name."""
        folder, name = posixpath.split(path)
        hidden = f"{folder}/_{name}.{uuid4().hex}"
        self.create(hidden, data)
        written = self.size(hidden)
        if written != len(data):
            raise LakeUnavailable(f"{hidden}: {written} of {len(data)} bytes arrived; run it again")
        return hidden

    def create(self, path: str, data: bytes) -> None:
        """Write a new file; HDFS lets one of several creators win. Raises LakeConflict when the name is taken."""
        with self._errors("create", path):
            self._client.write(path, data=data, overwrite=False)

    def rename(self, source: str, target: str) -> None:
        """Rename a file or folder; never overwrites. Raises LakeConflict when the target is there."""
        self._rename(source, target, "NONE")

    def replace(self, path: str, data: bytes) -> None:
        """Swap a small pointer file in one step (the only files that are ever replaced)."""
        self._rename(self.stage(path, data), path, "OVERWRITE")

    def delete(self, path: str) -> None:
        """Remove a file or a folder with all below it; nothing happens when it is not there."""
        with self._errors("delete", path):
            self._client.delete(path, recursive=True)

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it."""
        with self._errors("mkdirs", path):
            self._client.makedirs(path)

    def own(self, path: str, owner: str, permission: str) -> None:
        """Give a file or folder an owner (also as group) and a permission in octal digits; the superuser alone may."""
        with self._errors("own", path):
            self._client.set_owner(path, owner=owner, group=owner)
            self._client.set_permission(path, permission)

    def _rename(self, source: str, target: str, options: str) -> None:
        # The public rename() cannot say `renameoptions`, without which a rename onto a folder moves into it.
        with self._errors("rename", target):
            self._client._rename(source, destination=target, renameoptions=options)

    def _check_length(self, path: str, came: int, offset: int, length: int | None) -> None:
        left = max(0, (self.size(path) or 0) - offset)
        wanted = left if length is None else min(left, length)
        if came != wanted:
            raise LakeUnavailable(f"{path}: {came} of {wanted} bytes came from HDFS at {self.url}; try again")

    @contextmanager
    def _errors(self, operation: str, path: str) -> Iterator[None]:
        with measured(WEBHDFS_SECONDS, operation=operation), self._translated(path):
            yield

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        try:
            yield
        except HdfsError as error:
            text = str(error)
            if error.exception == _MISSING:
                raise LakeCorrupt(f"{path}: no such file in HDFS") from error
            if any(words in text for words in _LOST) or error.exception in _LOST:
                raise LakeCorrupt(f"{path}: HDFS has lost a block of it") from error
            if error.exception in _EXISTS or "already exists" in text:
                raise LakeConflict(f"{path}: already there") from error
            words = _public(text.splitlines()[0]) if text else "it gives no reason"
            raise LakeUnavailable(f"{path}: HDFS at {self.url} refused: {words[:_LONGEST_WORDS]}") from error
        except _OTHER_FORM as error:
            words = f"the answer of {self.url} is not WebHDFS's ({_public(repr(error))})"
            raise LakeUnavailable(f"{path}: {words}: does a proxy stand between?") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            # A body is read past `requests`, so that what goes wrong in it comes as urllib3's own.
            words = f"({type(error).__name__}): {_public(str(error))}"
            raise LakeUnavailable(f"HDFS at {self.url} does not answer {words}") from error


def _public(words: str) -> str:
    """The words without the queries of addresses in them: a delegation token stands there, and errors go to people."""
    return _QUERY.sub("", words)


def _entry(name: str, status: dict[str, Any]) -> Entry:
    modified = datetime.fromtimestamp(status["modificationTime"] / 1000, UTC)
    return Entry(name, status["type"] == "DIRECTORY", status["length"], modified)
