"""Candles as rows: how Hive gives them, how they go out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pyarrow as pa

from upbit_elt.candle import FIELDS, KST, Candle, to_table

# `timestamp` is a type's name in Hive's grammar.
COLUMNS = ", ".join(f"`{name}`" for name in FIELDS)


def partition_of(moment: datetime) -> str:
    """Value of the partition column `dt` for an aware datetime: its KST day, `2026-11-24`."""
    return moment.astimezone(KST).strftime("%Y-%m-%d")


def table_of(rows: Iterable[tuple[Any, ...]]) -> pa.Table:
    """Arrow table (candle SCHEMA, sorted by market and time) of rows with COLUMNS."""
    return to_table(Candle(*row) for row in rows)


def wire_rows(rows: Iterable[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Upbit's own form of rows with COLUMNS: the 11 wire fields, in wire order."""
    return [dict(zip(FIELDS, row, strict=True)) for row in rows]
