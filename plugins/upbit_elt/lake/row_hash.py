"""Hashes of rows, by which two sets of rows are compared value by value, in any order and in little memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

RowHashes = NDArray[np.uint64]
# Odd 64-bit constants of SplitMix64: https://prng.di.unimi.it/splitmix64.c
_STEP, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)

_NULL = b"\xff"  # stands for null: no text has these bytes in UTF-8


def row_hashes(table: pa.Table, names: Sequence[str]) -> RowHashes:
    """A 64-bit hash of each row over the columns `names`; rows with the same values, bit by bit, have the same hash.

    The chance that two of a million different rows have the same hash is 3 in 100 million.
    """
    hashes = np.zeros(table.num_rows, np.uint64)
    for name in names:
        hashes = (hashes * _MIX + _STEP) ^ (hashes >> np.uint64(29))
        hashes = (hashes + _bits(table.column(name))) * _MIX
        hashes ^= hashes >> np.uint64(32)
    return hashes


def winners(keys: Iterable[RowHashes], rows: Iterable[RowHashes], *, later_wins: bool) -> tuple[RowHashes, RowHashes]:
    """The key and row hashes, sorted by key, that remain of several tables (oldest first) with each key once.

    With `later_wins` the newest row of a key counts, else the oldest.
    """
    none = np.empty(0, np.uint64)
    key, row = np.concatenate([none, *keys]), np.concatenate([none, *rows])
    if later_wins:
        key, row = key[::-1], row[::-1]
    found, first = np.unique(key, return_index=True)
    return found, row[first]


def _bits(column: pa.ChunkedArray) -> RowHashes:
    if not pa.types.is_string(column.type):
        values = column.to_numpy()
        wide = values.astype(np.int64) if values.dtype.kind == "i" else values
        return np.ascontiguousarray(wide).view(np.uint64)
    encoded = column.combine_chunks().dictionary_encode()
    texts = [*(text.encode() for text in encoded.dictionary.to_pylist()), _NULL]
    digests = [hashlib.blake2b(text, digest_size=8).digest() for text in texts]
    places = encoded.indices.fill_null(len(texts) - 1).to_numpy()
    hashes: RowHashes = np.frombuffer(b"".join(digests), np.uint64)[places]
    return hashes
