"""Parquet bytes of candle tables, with the coverage in the footer."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from upbit_elt.candle import SCHEMA
from upbit_elt.errors import LakeCorrupt
from upbit_elt.lake.coverage import FOOTER_KEY, Coverage
from upbit_elt.lake.webhdfs import Lake

# Footers of live files are a few KB, those of merged days some tens.
_TAIL = 256 * 1024


def encode(table: pa.Table, coverage: Coverage | None = None) -> bytes:
    """Parquet (zstd) of a table; the same table and coverage give the same bytes."""
    if coverage is not None:
        table = table.replace_schema_metadata({FOOTER_KEY: coverage.to_json()})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=100_000)
    return sink.getvalue()


def decode(data: bytes, path: str, schema: pa.Schema = SCHEMA) -> pa.Table:
    """Table of Parquet bytes, columns as in `schema`. Raises LakeCorrupt when they are not."""
    try:
        table = pq.read_table(io.BytesIO(data), columns=schema.names)
        return table.select(schema.names).cast(schema)
    except (pa.ArrowException, KeyError) as error:
        raise LakeCorrupt(f"{path}: not a Parquet file of {schema.names}: {error}") from error


def coverage_of(data: bytes, path: str) -> Coverage:
    """Coverage in the footer of Parquet bytes (the file's end is enough). Raises LakeCorrupt when absent."""
    try:
        metadata = pq.read_metadata(io.BytesIO(data)).metadata or {}
    except pa.ArrowException as error:
        raise LakeCorrupt(f"{path}: not a Parquet file: {error}") from error
    if FOOTER_KEY not in metadata:
        raise LakeCorrupt(f"{path}: its footer says nothing about coverage; was it written by another program?")
    return Coverage.from_json(metadata[FOOTER_KEY])


def read_coverage(lake: Lake, path: str, size: int) -> Coverage:
    """Coverage of a file in the lake, reading only the file's end; `size` in bytes."""
    return coverage_of(_tail(lake, path, size), path)


def read_count(lake: Lake, path: str, size: int) -> int:
    """Rows of a file in the lake, reading only the file's end; `size` in bytes. Raises LakeCorrupt."""
    try:
        return int(pq.read_metadata(io.BytesIO(_tail(lake, path, size))).num_rows)
    except pa.ArrowException as error:
        raise LakeCorrupt(f"{path}: not a Parquet file: {error}") from error


def _tail(lake: Lake, path: str, size: int) -> bytes:
    tail = lake.read(path, offset=max(0, size - _TAIL))
    footer = int.from_bytes(tail[-8:-4], "little") + 8
    if footer > len(tail):
        tail = lake.read(path, offset=max(0, size - footer))
    return tail
