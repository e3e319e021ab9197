"""The last error of each DAG that fails, where the page can read it: `<root>/candle/_errors/<dag>.json`.

A task that fails writes it once its retries are used up; while no task fails, nothing is written or read. An error is
shown until `until`, a little after the DAG's next run but one. So a DAG that fails again replaces its error in time,
and one that succeeds again need not delete it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from upbit_elt.errors import LakeCorrupt
from upbit_elt.lake.layout import errors_folder
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.troubles import Trouble

LONGEST = 500


@dataclass(frozen=True)
class DagError:
    """The failure of a DAG's task `at` (UTC) with `error` (one line); the page shows it `until` (UTC)."""

    dag: str
    task: str
    run: str
    at: datetime
    until: datetime
    error: str

    def to_json(self) -> bytes:
        """The JSON of its file; times are ISO 8601."""
        return json.dumps({**self.__dict__, "at": self.at.isoformat(), "until": self.until.isoformat()}).encode()

    @property
    def trouble(self) -> Trouble:
        """The trouble that alerts report for it."""
        return Trouble(trouble_key(self.dag, self.task), f"{self.dag}.{self.task} fails: {self.error}", self.until)

    @classmethod
    def from_json(cls, data: bytes, path: str) -> DagError:
        """Parse what `to_json` wrote; `path` is for the error. Raises LakeCorrupt on anything else."""
        try:
            row: dict[str, Any] = json.loads(data)
            moments = {name: datetime.fromisoformat(row[name]).astimezone(UTC) for name in ("at", "until")}
            return cls(**{**{name: str(row[name]) for name in ("dag", "task", "run", "error")}, **moments})  # type: ignore[arg-type]
        except (ValueError, KeyError, TypeError) as error:
            raise LakeCorrupt(f"{path}: not the error of a DAG: {error!r}") from error


def trouble_key(dag: str, task: str) -> str:
    """The key of the trouble that a task fails."""
    return f"task {dag}.{task}"


def in_one_line(error: BaseException | None) -> str:
    """The error's type and text in one line of at most LONGEST characters; None is a task that left no error."""
    if error is None:
        return "the task ended without an error: it was killed, or its machine went away"
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def report(lake: Lake, error: DagError) -> None:
    """Store an error as the last one of its DAG. Raises LakeError."""
    folder = errors_folder(lake.root)
    lake.make_folder(folder)
    lake.replace(f"{folder}/{error.dag}.json", error.to_json())


class DagErrors:
    """Reads the last errors of DAGs; a file is read again only after it has changed."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._read: Mapping[tuple[str, datetime, int], DagError | None] = {}

    def unexpired(self, now: datetime) -> list[DagError]:
        """The errors that are shown at `now` (UTC), newest first; it costs one listing while no file has changed.

        Raises:
            LakeUnavailable: HDFS does not answer.
        """
        folder, found = errors_folder(self._lake.root), dict[tuple[str, datetime, int], DagError | None]()
        for name, is_dir, size, modified, *_ in self._lake.list(folder):
            if is_dir or name.startswith("_"):
                continue
            key = (name, modified, size)
            found[key] = self._read[key] if key in self._read else self._one(f"{folder}/{name}")
        self._read = found
        unexpired = [one for one in found.values() if one and now < one.until]
        return sorted(unexpired, key=lambda one: one.at, reverse=True)

    def _one(self, path: str) -> DagError | None:
        try:
            return DagError.from_json(self._lake.read(path), path)
        except LakeCorrupt:
            return None  # replaced meanwhile, or not ours: it is read again once it has changed
