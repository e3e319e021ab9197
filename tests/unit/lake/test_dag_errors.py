from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.support.clock import ManualClock, utc
from tests.support.hdfs import MemoryHdfs
from upbit_elt.errors import LakeUnavailable
from upbit_elt.lake.dag_errors import LONGEST, DagError, DagErrors, in_one_line, report
from upbit_elt.lake.layout import errors_folder
from upbit_elt.lake.webhdfs import Lake

NOW = utc(3)
ERROR = DagError("min_candle", "collect", "run 1", NOW, NOW + timedelta(minutes=5), "UnknownMarket: 404")


def hdfs() -> tuple[MemoryHdfs, Lake]:
    there = MemoryHdfs(ManualClock(NOW))
    return there, Lake(there.client(), "/replica")


def test_errors_come_back_newest_first_until_they_are_over() -> None:
    _, lake = hdfs()
    late = replace(ERROR, dag="close_day", at=NOW + timedelta(minutes=1), until=NOW + timedelta(minutes=25))
    for one in (ERROR, late):
        report(lake, one)
    errors = DagErrors(lake)
    assert errors.unexpired(NOW) == [late, ERROR]
    assert errors.unexpired(NOW + timedelta(minutes=5)) == [late]
    assert errors.unexpired(NOW + timedelta(minutes=25)) == []


def test_a_look_costs_one_list_while_nothing_is_new() -> None:
    there, lake = hdfs()
    errors = DagErrors(lake)
    assert errors.unexpired(NOW) == []
    assert dict(there.operations) == {"LISTSTATUS": 1}
    report(lake, ERROR)
    errors.unexpired(NOW)
    before = there.operations.copy()
    assert errors.unexpired(NOW) == [ERROR]
    assert dict(there.operations - before) == {"LISTSTATUS": 1}


def test_an_unknown_file_hides_no_error_of_a_dag() -> None:
    _, lake = hdfs()
    report(lake, ERROR)
    lake.create(f"{errors_folder(lake.root)}/broken.json", b'{"dag": 7}')
    assert DagErrors(lake).unexpired(NOW) == [ERROR]


def test_an_error_is_one_line_of_some_length() -> None:
    assert in_one_line(LakeUnavailable("HDFS is\n  away")) == "LakeUnavailable: HDFS is away"
    assert len(in_one_line(LakeUnavailable("x" * 9_999))) == LONGEST
    assert "killed" in in_one_line(None)
