"""Lake and warehouse that call a hook before each step that changes something: where tests pull the plug."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive, Statements

Hook = Callable[[str, str], None]


def do_nothing(step: str, path: str) -> None:
    """The hook that does nothing."""


class HookedLake(Lake):
    """`hook(step, path)` is called before create, rename, replace and delete, and as `upload` in mid-upload."""

    hook: Hook = staticmethod(do_nothing)

    def create(self, path: str, data: bytes) -> None:
        self.hook("create", path)
        with self._errors("create", path):
            self.client.write(path, data=self._halves(path, data), overwrite=False)

    def rename(self, source: str, target: str) -> None:
        self.hook("rename", target)
        super().rename(source, target)

    def replace(self, path: str, data: bytes) -> None:
        self.hook("replace", path)
        super().replace(path, data)

    def delete(self, path: str) -> None:
        self.hook("delete", path)
        super().delete(path)

    def _halves(self, path: str, data: bytes) -> Iterator[bytes]:
        yield data[: len(data) // 2]
        self.hook("upload", path)
        yield data[len(data) // 2 :]


class HookedSession:
    """A session that calls `hook("execute", statement)` before each statement that changes something."""

    def __init__(self, inner: Statements, hook: Hook) -> None:
        self._inner, self._hook = inner, hook

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        return self._inner.query(sql, parameters)

    def execute(self, *statements: str) -> None:
        for statement in statements:
            self._hook("execute", statement)
            self._inner.execute(statement)


class HookedHive(Hive):
    """Its sessions call `hook`."""

    hook: Hook = staticmethod(do_nothing)

    @contextmanager
    def session(self) -> Iterator[Statements]:
        with super().session() as inner:
            yield HookedSession(inner, self.hook)


def hooked(settings: Settings, hook: Hook) -> tuple[HookedLake, HookedHive]:
    """Both, as the settings name them, telling `hook`."""
    lake, hive = HookedLake.from_settings(settings), HookedHive.from_settings(settings)
    assert isinstance(lake, HookedLake)
    assert isinstance(hive, HookedHive)
    lake.hook = hive.hook = hook
    return lake, hive
