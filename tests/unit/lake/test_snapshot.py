"""What a new snapshot is checked against: hashes of rows, footers, and what is missing of a day."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.support.clock import utc
from tests.unit.lake.test_tables import candle
from upbit_elt.candle import SCHEMA, Candle, from_table, to_table
from upbit_elt.errors import LakeCorrupt
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.parquet import coverage_of, encode
from upbit_elt.lake.publish import check_merged
from upbit_elt.lake.read import latest
from upbit_elt.lake.row_hash import row_hashes, winners
from upbit_elt.lake.table_spec import CANDLE

ROWS = [candle("KRW-A", 0), candle("KRW-A", 1), candle("KRW-B", 1)]


def hashes(rows: list[Candle]) -> list[int]:
    return [int(mark) for mark in row_hashes(to_table(rows), SCHEMA.names)]


def test_every_field_of_a_row_is_in_its_mark() -> None:
    row = candle("KRW-A", 0)
    for name in SCHEMA.names:
        value = getattr(row, name)
        other: Any = (
            f"{value}x" if isinstance(value, str) else value + 1 if isinstance(value, int) else value * (1 + 1e-15)
        )
        assert hashes(
            [Candle(**{field: other if field == name else getattr(row, field) for field in SCHEMA.names})]
        ) != hashes([row]), name
    assert len(set(hashes(ROWS))) == 3
    assert hashes(ROWS) == [mark for row in ROWS for mark in hashes([row])], "neighbours do not matter"
    assert hashes([replace(row, opening_price=row.high_price, high_price=row.opening_price + 1)]) != hashes([row])


def test_nothing_is_not_a_text() -> None:
    marks = row_hashes(pa.table({"text": pa.array(["", None, "None", None])}), ["text"])
    assert [list(marks).index(mark) for mark in marks] == [0, 1, 2, 1]


def test_which_row_of_a_key_counts_is_a_property_of_the_kind() -> None:
    old, new = to_table(ROWS), to_table([candle("KRW-A", 1, 200.0)])
    for later in (True, False):
        shape = CANDLE._replace(later_wins=later)
        left = latest([old, new], shape)
        prices = [row.trade_price for row in from_table(left)]
        assert prices == [100.0, 200.0 if later else 100.0, 100.0]
        keys, rows = ([row_hashes(t, names) for t in (old, new)] for names in (shape.key, SCHEMA.names))
        wanted = winners(keys, rows, later_wins=later)
        assert np.array_equal(
            wanted[1], winners([row_hashes(left, shape.key)], [row_hashes(left, SCHEMA.names)], later_wins=later)[1]
        )


def many(count: int) -> Coverage:
    names = [f"KRW-{number:03}" for number in range(count)]
    spans = tuple(
        Span(name, utc(hour, minute), utc(hour, minute + 1 + number % 2), "asked")
        for number, name in enumerate(names)
        for hour in range(20)
        for minute in range(number % 7, 58, 4)
    )
    return Coverage(utc(0), utc(20), "run", spans, dict.fromkeys(names, utc(20)))


def test_a_large_footer_is_packed_and_comes_back() -> None:
    coverage = many(40)
    data = encode(to_table(ROWS), coverage)
    assert len(coverage.to_json()) > 40_000
    assert len(data) < len(coverage.to_json()) / 2
    assert coverage_of(data, "x").to_json() == coverage.to_json()


def test_coverage_that_is_lost_in_merging_is_seen() -> None:
    whole = many(5)
    check_merged([whole], whole)
    with pytest.raises(LakeCorrupt, match="KRW-003 was lost"):
        check_merged(
            [whole],
            replace(
                whole,
                spans=tuple(
                    s
                    for s in whole.spans
                    if s != max((s for s in whole.spans if s.market == "KRW-003"), key=lambda s: s.start)
                ),
            ),
        )
