"""What the files of a kind hold, so that days of every kind are kept in the same way."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from upbit_elt.candle import KEY, SCHEMA
from upbit_elt.lake.layout import Kind


class TableSpec(NamedTuple):
    """The columns of a kind, and the key that is unique within a day; the key's first column is the market.

    Of two rows with the same key the one written later counts with `later_wins`, else the one written first. Files of
    an earlier release lack the columns `added`, which read as null there.
    """

    kind: Kind
    schema: pa.Schema
    key: list[str]
    later_wins: bool
    added: tuple[str, ...] = ()


CANDLE = TableSpec("candle", SCHEMA, KEY, later_wins=True)
