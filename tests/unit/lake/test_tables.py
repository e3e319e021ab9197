from __future__ import annotations

import pyarrow as pa
import pytest

from tests.support.clock import utc
from tests.support.exchange import minute_row
from upbit_elt.candle import SCHEMA, Candle, from_table, to_table
from upbit_elt.errors import LakeCorrupt
from upbit_elt.lake import layout
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.parquet import coverage_of, decode, encode
from upbit_elt.lake.read import latest, outside

COVERAGE = Coverage(utc(1), utc(1, 2), "run", (Span("KRW-A", utc(1), utc(1, 2), "asked"),), {"KRW-A": utc(1, 2)})


def candle(market: str, minute: int, price: float = 100.0) -> Candle:
    return Candle(**minute_row(market, utc(1, minute), price))


def test_a_file_gives_back_its_candles_and_its_coverage() -> None:
    table = to_table([candle("KRW-B", 1), candle("KRW-A", 1), candle("KRW-A", 0)])
    data = encode(table, COVERAGE)
    assert coverage_of(data, "x") == COVERAGE
    back = from_table(decode(data, "x"))
    assert back == [candle("KRW-A", 0), candle("KRW-A", 1), candle("KRW-B", 1)]
    assert encode(table, COVERAGE) == data, "a rerun writes the same bytes"


def test_a_window_without_trades_is_a_file_too() -> None:
    data = encode(to_table([]), COVERAGE)
    assert decode(data, "x").num_rows == 0
    assert decode(data, "x").schema == SCHEMA
    assert coverage_of(data, "x") == COVERAGE


def test_a_13_digit_timestamp_keeps_its_digits() -> None:
    row = candle("KRW-A", 0)
    assert decode(encode(to_table([row])), "x").column("timestamp").to_pylist() == [row.timestamp]
    assert row.timestamp > 2**31


@pytest.mark.parametrize("data", [b"", b"PAR1", b"no parquet at all" * 10])
def test_a_file_that_is_not_parquet_is_an_error_that_says_so(data: bytes) -> None:
    with pytest.raises(LakeCorrupt, match="folder/file"):
        decode(data, "folder/file")
    with pytest.raises(LakeCorrupt, match="folder/file"):
        coverage_of(data, "folder/file")


def test_a_file_of_another_program_has_no_coverage() -> None:
    with pytest.raises(LakeCorrupt, match="coverage"):
        coverage_of(encode(pa.table({"a": [1]})), "x")
    with pytest.raises(LakeCorrupt):
        decode(encode(pa.table({"a": [1]})), "x")


def test_of_two_rows_with_one_key_the_later_fetched_stays() -> None:
    old = to_table([candle("KRW-A", 0), candle("KRW-A", 1)])
    new = to_table([candle("KRW-A", 1, 200.0), candle("KRW-B", 0)])
    assert from_table(latest([old, new])) == [candle("KRW-A", 0), candle("KRW-A", 1, 200.0), candle("KRW-B", 0)]
    assert latest([]).num_rows == 0
    assert latest([to_table([candle("KRW-A", 0)])]).num_rows == 1


def test_names_say_the_span() -> None:
    name = layout.window_name(utc(14, 59), utc(15, 1))
    assert name == "202611241459_202611241501.parquet"
    assert layout.parse_window(name) == (utc(14, 59), utc(15, 1))
    assert layout.parse_window("candle.parquet") is None


def test_the_candles_outside_of_spans_stay() -> None:
    table = to_table([candle(market, minute) for market in ("KRW-A", "KRW-B") for minute in range(5)])
    spans = [Span("KRW-A", utc(1, 1), utc(1, 3), "asked"), Span("KRW-A", utc(1, 4), utc(1, 9), "asked")]
    spans.append(Span("KRW-C", utc(1), utc(2), "asked"))
    assert from_table(outside(table, spans)) == [
        candle("KRW-A", 0),
        candle("KRW-A", 3),
        *(candle("KRW-B", minute) for minute in range(5)),
    ]
    assert outside(table, []) is table
    assert outside(to_table([]), spans).num_rows == 0
