"""Plain files in HDFS over WebHDFS: they appear whole, and are never overwritten."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple
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
# What the client raises on a response that is no JSON, or not in WebHDFS's form.
_OTHER_FORM = (requests.JSONDecodeError, LookupError, TypeError, AttributeError)
_LONGEST_WORDS = 300
_QUERY = re.compile(r"\?[\w.-]+=[^\s'\")]*")


class Entry(NamedTuple):
    """A file or folder in a folder; `size` in bytes (0 for folders).

    `modified` (UTC, the NameNode's clock) is when a file was written, or when a name in a folder last changed; renaming
    the entry itself does not change it. `permission` in octal digits.
    """

    name: str
    is_dir: bool
    size: int
    modified: datetime
    owner: str = ""
    group: str = ""
    permission: str = ""


class Lake:
    """The files of one deployment, over a client of its WebHDFS (see `connect`).

    Paths are absolute in HDFS; `root` is the folder of this dataset, `client` the client.

    Every method raises LakeUnavailable when WebHDFS does not answer or refuses.
    """

    def __init__(self, client: hdfs.Client, root: str = "") -> None:
        self.url: str = client.url
        self.root = root
        self.client = client

    @classmethod
    def from_settings(cls, settings: Settings) -> Lake:
        """The lake that the settings name. Raises ConfigError when `webhdfs_auth` needs something that is missing."""
        token = settings.webhdfs_token.get_secret_value()
        client = connect(settings.webhdfs_url, settings.webhdfs_user, settings.webhdfs_auth, token)
        return cls(client, settings.lake_root)

    def list(self, folder: str) -> list[Entry]:
        """The entries of a folder, sorted by name; [] when there is no such folder."""
        with self._errors("list", folder):
            try:
                rows = self.client.list_status(folder)
            except HdfsError as error:
                if error.exception == _MISSING:
                    return []
                raise
            if [row["pathSuffix"] for row in rows] == [""]:
                raise HdfsError(f"{folder!r} is not a directory.")
        return sorted(_entry(row["pathSuffix"], row) for row in rows)

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder at the path."""
        return self.size(path) is not None

    def size(self, path: str) -> int | None:
        """The length of a file in bytes, None when it is not there."""
        with self._errors("status", path):
            try:
                return int(self.client.status(path)["length"])
            except HdfsError as error:
                if error.exception == _MISSING:
                    return None
                raise

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read the bytes of a file; with `length` at most so many from `offset` on.

        Raises:
            LakeCorrupt: there is no such file, or HDFS has lost a part of it.
            LakeUnavailable: also when the body is cut short on the way.
        """
        with self._errors("read", path), self.client.read(path, offset=offset, length=length) as body:
            data = bytes(body.read())
            checked = (
                body.chunked or "Content-Length" in body.headers
            )  # then a body that is cut short has raised already
        if not checked or (length is not None and len(data) < length):
            self._check_length(path, len(data), offset, length)
        return data

    def publish(self, path: str, data: bytes, last_check: Callable[[], None] = lambda: None) -> bool:
        """Make a file appear whole under its name; False when the same bytes were there already.

        `last_check` is called after the file is written, before it becomes visible; when it raises, it stays invisible.

        Raises:
            LakeConflict: a file of this name holds other bytes.
        """
        hidden = self.stage(path, data)
        last_check()
        try:
            self.rename(hidden, path)
        except LakeConflict:
            self.delete(hidden)
            if self.read(path) == data:
                return False
            raise
        return True

    def stage(self, path: str, data: bytes) -> str:
        """Write a file beside `path` under a name that Hive ignores, and check its length. Returns its path."""
        folder, name = posixpath.split(path)
        hidden = f"{folder}/_{name}.{uuid4().hex}"
        self.create(hidden, data)
        written = self.size(hidden)
        if written != len(data):
            raise LakeUnavailable(f"{hidden}: {written} of {len(data)} bytes arrived; run it again")
        return hidden

    def create(self, path: str, data: bytes) -> None:
        """Write a new file; of several creators, one succeeds. Raises LakeConflict when the file is there."""
        with self._errors("create", path):
            self.client.write(path, data=data, overwrite=False)

    def rename(self, source: str, target: str) -> None:
        """Rename a file or folder; never overwrites. Raises LakeConflict when the target is there."""
        self._rename(source, target, "NONE")

    def replace(self, path: str, data: bytes) -> None:
        """Replace a small file in one step; files of data are never replaced."""
        self._rename(self.stage(path, data), path, "OVERWRITE")

    def delete(self, path: str) -> None:
        """Remove a file or a folder with all below it; nothing happens when it is not there."""
        with self._errors("delete", path):
            self.client.delete(path, recursive=True)

    def make_folder(self, path: str) -> None:
        """Create a folder and its parents."""
        with self._errors("mkdirs", path):
            self.client.makedirs(path)

    def own(self, path: str, owner: str, permission: str, group: str | None = None) -> None:
        """Set a path's owner, group (default: the same name) and permission in octal; only the superuser may."""
        with self._errors("own", path):
            self.client.set_owner(path, owner=owner, group=owner if group is None else group)
            self.client.set_permission(path, permission)

    def date(self, path: str, modified: datetime) -> None:
        """Let a file be as if it was written then."""
        with self._errors("date", path):
            self.client.set_times(path, modification_time=int(modified.timestamp() * 1000))

    def take_hdfs_snapshot(self, name: str) -> None:
        """Keep all of HDFS as it is now, at `/.snapshot/<name>`, while it is written on; the superuser alone may."""
        with self._errors("snapshot", "/"):
            self.client.allow_snapshot("/")
            self.client.create_snapshot("/", name)

    def drop_hdfs_snapshot(self, name: str) -> None:
        """Give back what only that HDFS snapshot keeps."""
        with self._errors("snapshot", "/"):
            self.client.delete_snapshot("/", name)

    def _rename(self, source: str, target: str, options: Literal["NONE", "OVERWRITE"]) -> None:
        with self._errors("rename", target):
            self.client.rename_with(source, target, options)

    def _check_length(self, path: str, received: int, offset: int, length: int | None) -> None:
        available = max(0, (self.size(path) or 0) - offset)
        wanted = available if length is None else min(available, length)
        if received != wanted:
            raise LakeUnavailable(f"{path}: {received} of {wanted} bytes came from HDFS at {self.url}; try again")

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
            # Bodies are not read by `requests`, so errors in them are urllib3's own.
            words = f"({type(error).__name__}): {_public(str(error))}"
            raise LakeUnavailable(f"HDFS at {self.url} does not answer {words}") from error


def _public(words: str) -> str:
    """The words without the queries of URLs: these may hold a delegation token, and errors are shown to people."""
    return _QUERY.sub("", words)


def _entry(name: str, status: dict[str, Any]) -> Entry:
    modified = datetime.fromtimestamp(status["modificationTime"] / 1000, UTC)
    rights = (status["owner"], status["group"], status["permission"])
    return Entry(name, status["type"] == "DIRECTORY", status["length"], modified, *rights)
