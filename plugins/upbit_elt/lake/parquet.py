"""Parquet files: tables to bytes and back, with coverage and notes in the footer."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from upbit_elt.candle import SCHEMA
from upbit_elt.errors import LakeCorrupt, LakeTooNew
from upbit_elt.lake import layout
from upbit_elt.lake.coverage import FOOTER_KEY, Coverage
from upbit_elt.lake.webhdfs import Lake

NOTES_KEY = b"upbit_elt.notes"
# CRC-32 of coverage and notes: Parquet has checksums for pages, but none for the footer. Older files lack it.
CHECK_KEY = b"upbit_elt.check"
# Footers of live files are a few KB, those of merged days some hundred.
_TAIL = 256 * 1024
# The coverage of a merged day is half a megabyte of JSON, a fifth of it when compressed.
_PACK_BEYOND = 16 * 1024
ROW_GROUP = 100_000
# What Arrow raises on damaged bytes.
_DAMAGE = (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError)


def encode(table: pa.Table, coverage: Coverage | None = None) -> bytes:
    """The Parquet bytes (zstd) of a table; the same table and coverage give the same bytes.

    Without rows there is no row group: Spark up to 3.3 and ClickHouse up to 26.3 refuse one of 0 rows.
    """
    sink = io.BytesIO()
    with parquet_writer(sink, table.schema, metadata(coverage)) as writer:
        if table.num_rows:
            writer.write_table(table, row_group_size=ROW_GROUP)
    return sink.getvalue()


def parquet_writer(sink: io.BytesIO, schema: pa.Schema, footer: Mapping[bytes, bytes]) -> pq.ParquetWriter:
    """A writer of Parquet (zstd) into `sink`, with `footer` (see `metadata`) as the file's key-value metadata."""
    # `store_schema` would write a second copy of the schema, larger than the rows of a window with few trades.
    writer = pq.ParquetWriter(
        sink, schema.remove_metadata(), compression="zstd", store_schema=False, write_page_checksum=True
    )
    writer.add_key_value_metadata(footer)
    return writer


def metadata(coverage: Coverage | None, notes: Mapping[str, Any] | None = None) -> dict[bytes, bytes]:
    """The key-value metadata of a footer: the coverage, notes (plain JSON values), and a checksum of both."""
    found = {} if coverage is None else {FOOTER_KEY: _packed(coverage.to_json())}
    found |= {NOTES_KEY: _packed(json.dumps(notes, sort_keys=True).encode())} if notes else {}
    return found | {CHECK_KEY: _check(found)}


def decode(data: bytes, path: str, schema: pa.Schema = SCHEMA, added: Sequence[str] = ()) -> pa.Table:
    """The table of Parquet bytes, with the columns of `schema`; those of `added` are null where the file lacks them.

    Raises LakeCorrupt when the columns differ or the bytes are damaged.
    """
    try:
        lacking = set(added).difference(pq.read_schema(io.BytesIO(data)).names) if added else ()
        names = [name for name in schema.names if name not in lacking]
        table = pq.read_table(io.BytesIO(data), columns=names, page_checksum_verification=True)
        for name in lacking:
            table = table.append_column(name, pa.nulls(table.num_rows, schema.field(name).type))
        return table.select(schema.names).cast(schema)
    except (*_DAMAGE, KeyError) as error:
        raise LakeCorrupt(f"{path}: not a Parquet file of {schema.names}: {error}") from error


def row_groups(data: bytes, path: str, names: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the columns `names` of Parquet bytes, a row group at a time; nothing when the file lacks one of them.

    Raises LakeCorrupt when the bytes are damaged.
    """
    try:
        file = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True)
        if set(names) <= set(file.schema_arrow.names):
            for number in range(file.num_row_groups):
                yield file.read_row_group(number, columns=list(names))
    except _DAMAGE as error:
        raise LakeCorrupt(f"{path}: not a Parquet file of {names}: {error}") from error


def coverage_of(data: bytes, path: str) -> Coverage:
    """The coverage in the footer of Parquet bytes (the file's end is enough).

    Raises:
        LakeTooNew: a newer release wrote it.
        LakeCorrupt: there is none, it cannot be read, or it does not fit the file's name.
    """
    found = _footer(data, path).get(FOOTER_KEY)
    if found is None:
        raise LakeCorrupt(f"{path}: its footer says nothing about coverage; was it written by another program?")
    try:
        coverage = Coverage.from_json(_unpacked(found))
    except LakeTooNew as error:
        raise LakeTooNew(f"{path}: {error}") from error
    except (ValueError, zlib.error) as error:
        raise LakeCorrupt(f"{path}: its footer's coverage cannot be unpacked: {error}") from error
    if (span := layout.span_of(path)) and not (span[0] <= coverage.start and coverage.end <= span[1]):
        raise LakeCorrupt(f"{path}: it accounts for {coverage.start} to {coverage.end}; another file has its name")
    return coverage


def notes_of(data: bytes, path: str) -> dict[str, Any]:
    """The notes in the footer of Parquet bytes (the file's end is enough); {} when there are none.

    Raises:
        LakeCorrupt: the bytes are no Parquet file, or the notes are no JSON.
    """
    found = _footer(data, path).get(NOTES_KEY)
    try:
        return dict(json.loads(_unpacked(found))) if found else {}
    except (ValueError, TypeError, zlib.error) as error:
        raise LakeCorrupt(f"{path}: its footer cannot be read: {error}") from error


def _footer(data: bytes, path: str) -> dict[bytes, bytes]:
    """The key-value metadata of a Parquet footer. Raises LakeCorrupt when it is unreadable or its checksum wrong."""
    try:
        found: dict[bytes, bytes] = pq.read_metadata(io.BytesIO(data)).metadata or {}
    except _DAMAGE as error:
        raise LakeCorrupt(f"{path}: not a Parquet file: {error}") from error
    if CHECK_KEY in found and found[CHECK_KEY] != _check(found):
        raise LakeCorrupt(f"{path}: its footer is damaged")
    return found


def _check(found: Mapping[bytes, bytes]) -> bytes:
    return b"%08x" % zlib.crc32(b"\n".join(found.get(key, b"") for key in (FOOTER_KEY, NOTES_KEY)))


def _packed(text: bytes) -> bytes:
    """The text, compressed (zlib, Base64) when it is long: a Parquet footer holds its metadata uncompressed."""
    return base64.b64encode(zlib.compress(text)) if len(text) > _PACK_BEYOND else text


def _unpacked(data: bytes) -> bytes:
    return data if data.startswith((b"{", b"[")) else zlib.decompress(base64.b64decode(data))


def read_notes(lake: Lake, path: str, size: int) -> dict[str, Any]:
    """Read the notes of a file in the lake, from the file's end alone; `size` in bytes."""
    return notes_of(_tail(lake, path, size), path)


def read_coverage(lake: Lake, path: str, size: int) -> Coverage:
    """Read the coverage of a file in the lake, from the file's end alone; `size` in bytes."""
    return coverage_of(_tail(lake, path, size), path)


def read_count(lake: Lake, path: str, size: int) -> int:
    """Read the number of rows of a file in the lake, from the file's end alone; `size` in bytes. Raises LakeCorrupt."""
    try:
        return int(pq.read_metadata(io.BytesIO(_tail(lake, path, size))).num_rows)
    except _DAMAGE as error:
        raise LakeCorrupt(f"{path}: not a Parquet file: {error}") from error


def _tail(lake: Lake, path: str, size: int) -> bytes:
    tail = lake.read(path, offset=max(0, size - _TAIL))
    footer = int.from_bytes(tail[-8:-4], "little") + 8
    if footer > len(tail):
        tail = lake.read(path, offset=max(0, size - footer))
    return tail
