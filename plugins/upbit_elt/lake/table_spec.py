"""What the files of a kind hold, so that days of every kind are kept in the same way."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from upbit_elt.candle import KEY, SCHEMA
from upbit_elt.lake.layout import Kind


class Shape(NamedTuple):
    """Columns, and the key that a day holds once; the key's first column is the market.

    Of two rows with one key the later one counts where `later_wins`, else the one that was there first.
    """

    kind: Kind
    schema: pa.Schema
    key: list[str]
    later_wins: bool


CANDLE = Shape("candle", SCHEMA, KEY, later_wins=True)
