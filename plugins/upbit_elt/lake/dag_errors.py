"""The last error of each DAG that fails, where the page can read it: `<root>/candle/_errors/<dag>.json`.

Written by the task that has failed, once its retries are used up; nothing is written or read while all goes well. An
error is shown until `until`, which is a little after the DAG's next run but one: a DAG that goes on failing says so
anew, and one that runs again needs to clear nothing away.
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
    """A task of a DAG failed `at` (UTC) with `error` (one line); shown `until` (UTC)."""

    dag: str
    task: str
    run: str
    at: datetime
    until: datetime
    error: str

    def to_json(self) -> bytes:
        """As the file holds it; times are ISO 8601."""
        return json.dumps({**self.__dict__, "at": self.at.isoformat(), "until": self.until.isoformat()}).encode()

    @property
    def trouble(self) -> Trouble:
        """As it is told to people who do not look."""
        return Trouble(trouble_key(self.dag, self.task), f"{self.dag}.{self.task} fails: {self.error}", self.until)

    @classmethod
    def from_json(cls, data: bytes, path: str) -> DagError:
        """What `to_json` wrote. Raises LakeCorrupt on anything else."""
        try:
            row: dict[str, Any] = json.loads(data)
            moments = {name: datetime.fromisoformat(row[name]).astimezone(UTC) for name in ("at", "until")}
            return cls(**{**{name: str(row[name]) for name in ("dag", "task", "run", "error")}, **moments})  # type: ignore[arg-type]
        except (ValueError, KeyError, TypeError) as error:
            raise LakeCorrupt(f"{path}: not the error of a DAG: {error!r}") from error


def trouble_key(dag: str, task: str) -> str:
    """Key of the trouble that a task fails."""
    return f"task {dag}.{task}"


def in_one_line(error: BaseException | None) -> str:
    """`LakeUnavailable: HDFS at ... does not answer`, of LONGEST characters at most."""
    if error is None:
        return "the task ended without a word: it was killed, or its machine went away"
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def report(lake: Lake, error: DagError) -> None:
    """Make it the DAG's last error. Raises LakeError."""
    folder = errors_folder(lake.root)
    lake.make_folder(folder)
    lake.replace(f"{folder}/{error.dag}.json", error.to_json())


class DagErrors:
    """Reads the errors that are shown now; one that was read is read again only when it was written anew."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._read: Mapping[tuple[str, datetime, int], DagError | None] = {}

    def unexpired(self, now: datetime) -> list[DagError]:
        """Errors that are shown at `now` (UTC), the newest first; one list of a folder while nothing is new.

        Raises:
            LakeUnavailable
        """
        folder, found = errors_folder(self._lake.root), dict[tuple[str, datetime, int], DagError | None]()
        for name, is_dir, size, modified in self._lake.list(folder):
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
            return None  # replaced meanwhile, or not ours: the next one is read when it is written
