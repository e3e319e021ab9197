"""An HDFS in memory with the real one's semantics, as `hdfs.Client` shows them; held to it by test_contract.py."""

from __future__ import annotations

import posixpath
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, TypeVar

import requests
from hdfs.util import HdfsError
from urllib3 import HTTPResponse
from urllib3.exceptions import IncompleteRead, ProtocolError

from tests.support.edge import Call, Fault, Killed, Watch, inactive
from upbit_elt.clock import Clock

T = TypeVar("T")
READS = ("LISTSTATUS", "GETFILESTATUS", "OPEN")


@dataclass
class Node:
    """A file (`data`) or a folder (`children`); `modified` in ms. Of a `lost` file the length is known, no byte is."""

    modified: int
    data: bytes | None = None
    children: dict[str, Node] = field(default_factory=dict)
    owner: str = "tester"
    group: str = "tester"
    permission: str = "755"
    lost: bool = False

    @property
    def is_dir(self) -> bool:
        return self.data is None

    def copy(self) -> Node:
        """The same once more, with all below it."""
        below = {name: child.copy() for name, child in self.children.items()}
        return Node(self.modified, self.data, below, self.owner, self.group, self.permission, self.lost)

    def status(self, name: str) -> dict[str, Any]:
        """As WebHDFS says it."""
        return {
            "pathSuffix": name,
            "type": "DIRECTORY" if self.is_dir else "FILE",
            "length": len(self.data or b""),
            "modificationTime": self.modified,
            "owner": self.owner,
            "group": self.group,
            "permission": self.permission,
        }


class MemoryHdfs:
    """Names and bytes of one HDFS, for any number of clients.

    `operations` counts the WebHDFS operations by name. In `safe_mode` nothing can be changed. `lose` makes a file
    unreadable, as when its only block is gone.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.root = Node(self._now())
        self.snapshots: dict[str, Node] = {}
        self.operations: Counter[str] = Counter()
        self.safe_mode = False
        self.lock = threading.RLock()

    def client(self, watch: Watch = inactive, timeout: float = 30.0, clock: Clock | None = None) -> MemoryClient:
        """What one process sees; `watch` says what comes of each of its calls, `timeout` in seconds of its clock."""
        return MemoryClient(self, watch, timeout, clock or self.clock)

    def files(self) -> dict[str, bytes]:
        """Bytes of every file by its path, sorted."""
        return {path: node.data for path, node in sorted(self._walk(self.root, "")) if node.data is not None}

    def put(self, path: str, data: bytes) -> None:
        """Let a file hold these bytes, whatever was there: a test's own hand, not an operation."""
        with self.lock:
            parent = self._folder(posixpath.dirname(path))
            parent.children[posixpath.basename(path)] = Node(self._now(), data)

    def lose(self, path: str) -> None:
        """Lose the blocks of a file."""
        self._node(path).lost = True

    def _walk(self, node: Node, path: str) -> Iterator[tuple[str, Node]]:
        for name, child in list(node.children.items()):
            yield f"{path}/{name}", child
            yield from self._walk(child, f"{path}/{name}")

    def _now(self) -> int:
        return int(self.clock.now().timestamp() * 1000)

    def find(self, path: str) -> Node | None:
        """The file or folder of that name."""
        node: Node | None = self.root
        names = _parts(path)
        if names[:1] == [".snapshot"]:
            node, names = Node(0, children=self.snapshots), names[1:]
        for name in names:
            node = node.children.get(name) if node else None
        return node

    def _node(self, path: str) -> Node:
        node = self.find(path)
        above = self.find(posixpath.dirname(path))
        if node is None and above and not above.is_dir:
            raise HdfsError(f"{posixpath.dirname(path)} (is not a directory)", exception="AccessControlException")
        if node is None:
            raise HdfsError(f"File does not exist: {path}", exception="FileNotFoundException")
        return node

    def _folder(self, path: str) -> Node:
        """The folder of this name, made with those above it where they are missing."""
        node = self.root
        for name in _parts(path):
            if not node.is_dir:
                raise HdfsError(f"{path} (is not a directory)", exception="ParentNotDirectoryException")
            if name not in node.children:
                node.modified = self._now()
                node.children[name] = Node(self._now())
            node = node.children[name]
        return node

    # What the operations do, one at a time.

    def list_status(self, path: str) -> list[dict[str, Any]]:
        node = self._node(path)
        children = node.children if node.is_dir else {"": node}
        return [children[name].status(name) for name in sorted(children)]

    def file_status(self, path: str) -> dict[str, Any]:
        return self._node(path).status("")

    def open(self, path: str, offset: int, length: int | None) -> bytes:
        node = self._node(path)
        if node.data is None:
            raise HdfsError(f"Path is not a file: {path}", exception="FileNotFoundException")
        if node.data and offset >= len(node.data):
            words = f"Offset={offset} out of the range [0, {len(node.data)}); OPEN, path={path}"
            raise HdfsError(words, exception="IOException")
        if node.lost:
            raise HdfsError("No active nodes contain this block", exception="IOException")
        return node.data[offset : None if length is None else offset + length]

    def create(self, path: str, *, overwrite: bool) -> None:
        """The name with no byte in it, as it is seen while its bytes are on their way."""
        there = self.find(path)
        if there and (there.is_dir or not overwrite):
            words = "already exists as a directory" if there.is_dir else "for client 127.0.0.1 already exists"
            raise HdfsError(f"{path} {words}", exception="FileAlreadyExistsException")
        folder = self._folder(posixpath.dirname(path))
        if not folder.is_dir:
            words = f"{posixpath.dirname(path)} (is not a directory)"
            raise HdfsError(words, exception="ParentNotDirectoryException")
        folder.children[posixpath.basename(path)] = Node(self._now(), b"", permission="644")
        folder.modified = self._now()

    def fill(self, path: str, data: bytes) -> None:
        """The bytes of a file that was created; nothing happens when somebody has removed it meanwhile."""
        node = self.find(path)
        if node:
            node.data, node.modified = data, self._now()

    def rename(self, source: str, target: str, *, overwrite: bool) -> None:
        node = self.find(source)
        if node is None:
            raise HdfsError(f"rename source {source} is not found.", exception="FileNotFoundException")
        if target == source:
            words = f"The source {source} and destination {target} are the same"
            raise HdfsError(words, exception="FileAlreadyExistsException")
        if target.startswith(f"{source}/"):
            words = f"Rename destination {target} is a directory or file under source {source}"
            raise HdfsError(words, exception="IOException")
        there = self.find(target)
        if there:
            self._may_replace(node, there, source, target, overwrite=overwrite)
        parent = self.find(posixpath.dirname(target))
        if parent is None:
            words = f"rename destination parent {posixpath.dirname(target)} not found."
            raise HdfsError(words, exception="FileNotFoundException")
        if not parent.is_dir:
            words = f"rename destination parent {posixpath.dirname(target)} is a file."
            raise HdfsError(words, exception="ParentNotDirectoryException")
        before = self._node(posixpath.dirname(source))
        parent.children[posixpath.basename(target)] = before.children.pop(posixpath.basename(source))
        parent.modified = before.modified = self._now()

    def _may_replace(self, node: Node, there: Node, source: str, target: str, *, overwrite: bool) -> None:
        if node.is_dir != there.is_dir:
            words = f"Source {source} and destination {target} must both be directories"
            raise HdfsError(words, exception="IOException")
        if not overwrite:
            raise HdfsError(f"rename destination {target} already exists", exception="FileAlreadyExistsException")
        if there.children:
            raise HdfsError(f"rename destination directory is not empty: {target}", exception="IOException")

    def delete(self, path: str, *, recursive: bool) -> bool:
        node = self.find(path)
        if node is None:
            return False
        if node.children and not recursive:
            raise HdfsError(f"{path} is non empty", exception="PathIsNotEmptyDirectoryException")
        parent = self._node(posixpath.dirname(path))
        del parent.children[posixpath.basename(path)]
        parent.modified = self._now()
        return True

    def make_folder(self, path: str) -> None:
        if not self._folder(path).is_dir:
            raise HdfsError(f"Path is not a directory: {path}", exception="FileAlreadyExistsException")

    def own(self, path: str, owner: str, group: str) -> None:
        self._node(path).owner, self._node(path).group = owner, group

    def date(self, path: str, modified: int) -> None:
        self._node(path).modified = modified

    def keep(self, name: str) -> None:
        """A HDFS snapshot of everything."""
        if name in self.snapshots:
            raise HdfsError(f"there is already a snapshot with the same name {name}", exception="SnapshotException")
        self.snapshots[name] = self.root.copy()

    def forget(self, name: str) -> None:
        if name not in self.snapshots:
            raise HdfsError(f"the snapshot {name} does not exist", exception="SnapshotException")
        del self.snapshots[name]

    def permit(self, path: str, permission: str) -> None:
        self._node(path).permission = permission


class MemoryClient:
    """What `hdfs.Client` is to a process: the methods that `Lake` calls, with its exceptions."""

    def __init__(self, server: MemoryHdfs, watch: Watch, timeout: float, clock: Clock) -> None:
        self.url = "http://memory"
        self.timeout = timeout
        self.watch = watch
        self._server, self._clock = server, clock

    def list_status(self, path: str) -> list[dict[str, Any]]:
        return self._call("LISTSTATUS", path, lambda: self._server.list_status(path))

    def status(self, path: str, strict: bool = True) -> dict[str, Any] | None:
        try:
            return self._call("GETFILESTATUS", path, lambda: self._server.file_status(path))
        except HdfsError:
            if strict:
                raise
            return None

    @contextmanager
    def read(self, path: str, offset: int = 0, length: int | None = None) -> Iterator[Any]:
        data = self._call("OPEN", path, lambda: self._server.open(path, offset, length))
        yield HTTPResponse(BytesIO(data), {"Content-Length": str(len(data))}, preload_content=False)

    def write(self, path: str, data: bytes | Iterable[bytes], overwrite: bool = False) -> None:
        """The name is there before its bytes are: others see an empty file meanwhile."""
        self._call("CREATE", path, lambda: self._server.create(path, overwrite=overwrite))
        whole = data if isinstance(data, bytes) else b"".join(data)
        half = whole[: len(whole) // 2]
        self._call("WRITE", path, lambda: self._server.fill(path, whole), lambda: self._server.fill(path, half))

    def rename_with(self, source: str, target: str, options: str) -> None:
        overwrite = options == "OVERWRITE"
        self._call("RENAME", source, lambda: self._server.rename(source, target, overwrite=overwrite))

    def delete(self, path: str, recursive: bool = False) -> bool:
        return self._call("DELETE", path, lambda: self._server.delete(path, recursive=recursive))

    def makedirs(self, path: str) -> None:
        self._call("MKDIRS", path, lambda: self._server.make_folder(path))

    def set_owner(self, path: str, owner: str, group: str) -> None:
        self._call("SETOWNER", path, lambda: self._server.own(path, owner, group))

    def set_times(self, path: str, modification_time: int) -> None:
        self._call("SETTIMES", path, lambda: self._server.date(path, modification_time))

    def allow_snapshot(self, path: str) -> None:
        self._call("ALLOWSNAPSHOT", path, lambda: None)

    def create_snapshot(self, path: str, snapshotname: str) -> None:
        self._call("CREATESNAPSHOT", path, lambda: self._server.keep(snapshotname))

    def delete_snapshot(self, path: str, snapshotname: str) -> None:
        self._call("DELETESNAPSHOT", path, lambda: self._server.forget(snapshotname))

    def set_permission(self, path: str, permission: str) -> None:
        self._call("SETPERMISSION", path, lambda: self._server.permit(path, permission))

    def _call(self, name: str, path: str, work: Callable[[], T], half: Callable[[], object] | None = None) -> T:
        """Carry out one operation, with what `watch` says comes of it. Two never happen at once."""
        fault = self.watch(Call("hdfs", name, path))
        if name != "WRITE":  # the second half of a CREATE
            self._server.operations[name] += 1
        if fault is Fault.DIES_BEFORE:
            raise Killed
        if fault is Fault.NEVER_ARRIVES:
            raise requests.ConnectionError(f"{name} {path}: connection refused")
        if fault is Fault.REFUSED or (self._server.safe_mode and name not in READS):
            words = f"Cannot do {name} on {path}. Name node is in safe mode."
            raise HdfsError(words, exception="SafeModeException")
        if fault is Fault.SLOW:
            self._clock.sleep(self.timeout - 1)
        with self._server.lock:
            done = half() if half and fault in (Fault.DIES_HALFWAY, Fault.CUT) else work()
        if fault in (Fault.DIES_HALFWAY, Fault.DIES_AFTER):
            raise Killed
        if fault is Fault.CUT and name == "OPEN":
            raise ProtocolError(f"Connection broken: {path}", IncompleteRead(1, 1))
        if fault is Fault.CUT:
            raise requests.ConnectionError(f"{name} {path}: connection aborted")
        if fault is Fault.ANSWER_LOST:
            self._clock.sleep(self.timeout)
            raise requests.ReadTimeout(f"{name} {path}: read timed out. (read timeout={self.timeout})")
        return done  # type: ignore[return-value]


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]
