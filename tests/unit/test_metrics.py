"""What processes measure, added up in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from upbit_elt.errors import LakeUnavailable, StateUnavailable
from upbit_elt.metrics import Measurements, MetricsFile, measured


class Process:
    """What one process measures, and its way to the file of all."""

    def __init__(self, folder: Path) -> None:
        registry = CollectorRegistry()
        self.rows = Counter("rows", "Rows.", registry=registry)
        self.seconds = Histogram("call_seconds", "Calls.", ["kind", "outcome"], registry=registry, buckets=(1, 10))
        self.file = MetricsFile(folder, Measurements(registry))

    def sums(self) -> Mapping[tuple[str, str], float]:
        return {
            (sample.name, ",".join(sample.labels.values())): sample.value
            for family in self.file.collect()
            for sample in family.samples
        }


def test_the_file_holds_the_sum_of_all_processes(tmp_path: Path) -> None:
    one, other = Process(tmp_path), Process(tmp_path)
    one.rows.inc(2)
    one.file.add()
    one.rows.inc(3)
    one.file.add()
    one.file.add()
    other.rows.inc(10)
    other.seconds.labels(kind="a", outcome="ok").observe(5)
    assert other.sums()["rows_total", ""] == 15
    later = Process(tmp_path).sums()
    assert later["rows_total", ""] == 15
    assert later["call_seconds_count", "a,ok"] == 1
    assert (later["call_seconds_bucket", "a,ok,1.0"], later["call_seconds_bucket", "a,ok,10.0"]) == (0, 1)


def test_a_measurement_that_could_not_be_stored_is_stored_the_next_time(tmp_path: Path) -> None:
    place = tmp_path / "state"
    process = Process(place)
    process.rows.inc()
    place.write_text("in the way")
    with pytest.raises(StateUnavailable, match="state cannot be made"):
        process.file.add()
    place.unlink()
    assert process.sums()["rows_total", ""] == 1


def test_a_damaged_file_is_replaced_by_an_empty_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "metrics.db").write_bytes(b"no database" * 100)
    process = Process(tmp_path)
    process.rows.inc()
    assert process.sums()["rows_total", ""] == 1
    assert "damaged" in caplog.text


def test_a_sample_that_this_release_does_not_know_is_left_out(tmp_path: Path) -> None:
    newer, registry = Process(tmp_path), CollectorRegistry()
    Counter("of_tomorrow", "New.", registry=registry).inc()
    MetricsFile(tmp_path, Measurements(registry)).add()
    assert ("of_tomorrow_total", "") not in newer.sums()


def test_an_outcome_is_named_after_the_error(tmp_path: Path) -> None:
    process = Process(tmp_path)
    with measured(process.seconds, kind="list"):
        pass
    with pytest.raises(LakeUnavailable), measured(process.seconds, kind="list"):
        raise LakeUnavailable("away")
    found = process.sums()
    assert found["call_seconds_count", "list,ok"] == found["call_seconds_count", "list,lake_unavailable"] == 1
