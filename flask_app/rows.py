"""Candles as rows: converted from Hive's tuples to Arrow tables and to Upbit's JSON objects."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pyarrow as pa

from upbit_elt.candle import FIELDS, KST, Candle, to_table

# Column names are quoted because `timestamp` is a type in Hive's grammar.
COLUMNS = ", ".join(f"`{name}`" for name in FIELDS)


def partition_of(moment: datetime) -> str:
    """Value of the partition column `dt` for an aware datetime: its KST day, `2026-11-24`."""
    return moment.astimezone(KST).strftime("%Y-%m-%d")


def table_of(rows: Iterable[tuple[Any, ...]]) -> pa.Table:
    """Arrow table (candle SCHEMA, sorted by market and time) of rows with COLUMNS."""
    return to_table(Candle(*row) for row in rows)


def wire_rows(rows: Iterable[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Convert rows with COLUMNS to Upbit's own form: objects of the 11 wire fields, in wire order."""
    return [dict(zip(FIELDS, row, strict=True)) for row in rows]
