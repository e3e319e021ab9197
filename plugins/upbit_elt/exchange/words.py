"""What the exchange says, made fit for logs, footers and tables: cut to a length, and of printable characters alone.

JSON may hold lone surrogates, which no file and no database takes, control characters, and numbers of any length.
"""

from __future__ import annotations


def printable(text: str, limit: int = 200) -> str:
    """The beginning of a text; what cannot be printed is escaped as Python does it."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:limit])


def excerpt(value: object, limit: int = 80) -> str:
    """The beginning of any value, as Python writes it."""
    return printable(repr(value), limit)
