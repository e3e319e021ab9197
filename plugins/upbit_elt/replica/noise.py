"""Random numbers by position: any element of an endless random sequence, without computing the ones before it.

A sequence is identified by a 64-bit key; element i is SplitMix64 (Steele, Lea, Flood 2014) of `key + i * golden`.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bits = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_LOW_32 = np.uint64(0xFFFFFFFF)


@lru_cache(maxsize=8192)
def key(*parts: str | int) -> int:
    """Compute the 64-bit key of a sequence from its name; the same parts give the same key in every process."""
    digest = blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def keys(names: tuple[str, ...], *parts: str | int) -> Bits:
    """Keys of several sequences, shape (names, 1), to draw all of them in one call."""
    return np.array([[key(*parts, name)] for name in names], dtype=np.uint64)


def bits(sequence: int | Bits, index: NDArray[Any]) -> Bits:
    """Elements at `index` (any integers, broadcast against the keys), 64 random bits each."""
    z = np.asarray(sequence, dtype=np.uint64) + (index.astype(np.uint64) + np.uint64(1)) * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return np.asarray(z ^ (z >> np.uint64(31)), dtype=np.uint64)


def uniform(random: Bits) -> Floats:
    """Convert bits to uniform numbers in (0, 1), never 0 or 1."""
    return ((random >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def normal(random: Bits) -> Floats:
    """Convert bits to standard normal numbers (Box and Muller 1958, on the two halves of the 64 bits)."""
    radius = np.sqrt(-2.0 * np.log(((random >> np.uint64(32)).astype(np.float64) + 0.5) * 2.0**-32))
    return radius * np.cos((random & _LOW_32).astype(np.float64) * (2.0 * np.pi * 2.0**-32))


def smooth(sequence: int, wavelength: int, start: int, end: int) -> Floats:
    """Value noise on the integers [start, end): normal values every `wavelength`, linear between them."""
    knots = np.arange(start // wavelength, (end - 1) // wavelength + 2, dtype=np.int64)
    positions = np.arange(start, end, dtype=np.float64)
    return np.interp(positions, (knots * wavelength).astype(np.float64), normal(bits(sequence, knots)))


_OCTAVES = 2 ** np.arange(10, dtype=np.int64)[:, None]
_AMPLITUDES = 0.5 * np.sqrt(_OCTAVES)


def walk(octave_keys: Bits, index: Ints) -> Floats:
    """Values at `index` of a walk on the integers with steps of variance 1: the sum of ten octaves of value noise.

    Any position is computed directly. Over 1 to 512 steps it moves like a random walk; over longer spans it returns to
    0 (standard deviation about 13). `octave_keys` has shape (10, 1).
    """
    cells, rest = np.divmod(index[None, :], _OCTAVES)
    left, right = normal(bits(octave_keys, np.stack([cells, cells + 1])))
    part = rest / _OCTAVES
    return np.asarray((_AMPLITUDES * (left + (right - left) * part)).sum(axis=0), dtype=np.float64)
