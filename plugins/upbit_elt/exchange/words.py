"""Make text of the exchange safe for logs, footers and tables: short, and of printable characters alone.

JSON may hold lone surrogates, which no file or database accepts, control characters, and numbers of any length.
"""

from __future__ import annotations


def printable(text: str, limit: int = 200) -> str:
    """The first `limit` characters of a text; characters that cannot be printed are escaped as in Python."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:limit])


def excerpt(value: object, limit: int = 80) -> str:
    """The first `limit` characters of a value's repr, printable."""
    return printable(repr(value), limit)
