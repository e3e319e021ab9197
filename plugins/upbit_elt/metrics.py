"""What every process measures of its own calls, and the one small file in which all processes of a machine add it up.

Tasks live for seconds, so nobody could scrape them: each adds what it has measured to `<state_dir>/metrics.db` when it
ends, and the Flask service shows the sums at `/metrics`. The file has one row a sample, so that it never grows with
time. One histogram a kind of call is enough: its `_count` by `outcome` says how often, its `_sum` how long.
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
    "Operations on HDFS over WebHDFS; unavailable ones end as lake_unavailable.",
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
    "Airflow's tasks by how they ended; what was tried again is up_for_retry.",
    ["dag", "task", "state"],
    registry=REGISTRY,
    buckets=_TASK,
)
QUARANTINED = Counter(
    "upbit_quarantined_rows",
    "Rows that were refused on arrival and are kept aside with their reason.",
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
    """Observe how long the block takes; `outcome` is `ok`, or the name of this project's error that ended it."""
    began, outcome = time.perf_counter(), "ok"
    try:
        yield
    except UpbitEltError as error:
        outcome = _WORD.sub("_", type(error).__name__).lower()
        raise
    finally:
        seconds.labels(**labels, outcome=outcome).observe(time.perf_counter() - began)


class Measurements:
    """What this process has measured in a registry, and how much of it was added to the file already. Thread-safe."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry, self._lock = registry, Lock()
        self._added: dict[Key, float] = {}

    def families(self) -> list[Metric]:
        """What is measured, with its samples so far."""
        return list(self._registry.collect())

    @contextmanager
    def fresh(self) -> Iterator[Mapping[Key, float]]:
        """What has come since the last block that ended well; one that raises leaves all of it for the next."""
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
    """The sums of all processes that share `folder`. A damaged file is begun anew: counters may start at 0 again.

    Every method raises sqlite3.OperationalError when the file is busy for long or the disk is full, and OSError when
    the folder cannot be made.
    """

    def __init__(self, folder: Path, measurements: Measurements = MEASURED) -> None:
        self._file, self._measurements = folder / "metrics.db", measurements

    def add(self) -> None:
        """Add what this process has measured since it did so last."""
        with self._measurements.fresh() as fresh:
            if fresh:
                rows = [(name, labels, value) for (name, labels), value in fresh.items()]
                with self._opened() as connection, connection:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.executemany(_ADD, rows)

    def collect(self) -> list[Metric]:
        """The sums, as families of Prometheus, of what this release measures; what an older one did is left out."""
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
