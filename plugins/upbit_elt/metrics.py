"""Measurements of every process, and the small file in which all processes of a machine sum them up.

Tasks live for seconds, so Prometheus could not scrape them: each adds its measurements to `<state_dir>/metrics.db` when
it ends, and the Flask service shows the sums at `/metrics`. The file has one row per sample, so it does not grow with
time. One histogram per kind of call is enough: its `_count` by `outcome` says how often, its `_sum` how long.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import Metric

from upbit_elt.errors import UpbitEltError
from upbit_elt.state_file import opened

REGISTRY = CollectorRegistry()
_CALL = (0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)
_TASK = (1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600)

REQUEST_SECONDS = Histogram(
    "upbit_exchange_request_seconds",
    "Requests to the exchange, by group of its rate limit and outcome (rate_limited is 429, banned is 418).",
    ["group", "outcome"],
    registry=REGISTRY,
    buckets=_CALL,
)
WEBHDFS_SECONDS = Histogram(
    "upbit_webhdfs_seconds",
    "Operations on HDFS over WebHDFS; those that got no response have the outcome lake_unavailable.",
    ["operation", "outcome"],
    registry=REGISTRY,
    buckets=_CALL,
)
HIVE_SECONDS = Histogram(
    "upbit_hive_seconds",
    "Calls of HiveServer2: opening a session, a query, a statement without rows.",
    ["operation", "outcome"],
    registry=REGISTRY,
    buckets=_CALL,
)
TASK_SECONDS = Histogram(
    "upbit_task_seconds",
    "Airflow's tasks by how they ended; those that are tried again end as up_for_retry.",
    ["dag", "task", "state"],
    registry=REGISTRY,
    buckets=_TASK,
)
QUARANTINED = Counter(
    "upbit_quarantined_rows",
    "Rows that failed validation on arrival and are in quarantine with their reason.",
    registry=REGISTRY,
)

Key = tuple[str, str]
_SCHEMA = "CREATE TABLE IF NOT EXISTS sample (name TEXT, labels TEXT, value REAL, PRIMARY KEY (name, labels))"
_ADD = (
    "INSERT INTO sample VALUES (?, ?, ?) ON CONFLICT (name, labels) DO UPDATE SET value = sample.value + excluded.value"
)
_WORD = re.compile(r"(?<!^)(?=[A-Z])")


@contextmanager
def measured(seconds: Histogram, **labels: str) -> Iterator[None]:
    """Measure how long the block takes; `outcome` is `ok`, or the name of this project's error that ended it."""
    began, outcome = time.perf_counter(), "ok"
    try:
        yield
    except UpbitEltError as error:
        outcome = _WORD.sub("_", type(error).__name__).lower()
        raise
    finally:
        seconds.labels(**labels, outcome=outcome).observe(time.perf_counter() - began)


class Measurements:
    """Measurements of this process in a registry, and how much of them is already in the file. Thread-safe."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry, self._lock = registry, Lock()
        self._added: dict[Key, float] = {}

    def families(self) -> list[Metric]:
        """All metric families with their samples so far."""
        return list(self._registry.collect())

    @contextmanager
    def fresh(self) -> Iterator[Mapping[Key, float]]:
        """Give what was measured since the last block that succeeded; when the block raises, the next gets it again."""
        with self._lock:
            now = {
                (sample.name, json.dumps(sample.labels)): sample.value
                for family in self._registry.collect()
                for sample in family.samples
                if not sample.name.endswith("_created")
            }
            changed = now.items() - self._added.items()  # an empty bucket is a sample too
            yield {key: value - self._added.get(key, 0.0) for key, value in changed}
            self._added = now


MEASURED = Measurements(REGISTRY)


class MetricsFile:
    """The sums of all processes that share `folder`. A damaged file is replaced by an empty one: counters restart at 0.

    Every method raises StateUnavailable when the file is busy for long, the disk is full or the folder cannot be made.
    """

    def __init__(self, folder: Path, measurements: Measurements = MEASURED) -> None:
        self._file, self._measurements = folder / "metrics.db", measurements

    def add(self) -> None:
        """Add what this process has measured since its last call of this method."""
        with self._measurements.fresh() as fresh:
            if fresh:
                rows = [(name, labels, value) for (name, labels), value in fresh.items()]
                with self._opened() as connection, connection:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.executemany(_ADD, rows)

    def collect(self) -> list[Metric]:
        """The sums as Prometheus metric families. Only metrics of this release: an older one's are left out."""
        self.add()
        with self._opened() as connection:
            sums = connection.execute("SELECT name, labels, value FROM sample ORDER BY rowid").fetchall()
        found = []
        for family in self._measurements.families():
            made = Metric(family.name, family.documentation, family.type)
            names = {family.name + end for end in ("_total", "_bucket", "_count", "_sum")}
            for name, labels, value in sums:
                if name in names:
                    made.add_sample(name, json.loads(labels), value)
            found.append(made)
        return found

    def _opened(self) -> AbstractContextManager[sqlite3.Connection]:
        return opened(self._file, _SCHEMA)
