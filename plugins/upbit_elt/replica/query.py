"""Parses query parameters as Upbit does, and has its error responses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from math import ceil

MOST_ROWS = 200
UNITS = (1, 3, 5, 10, 15, 30, 60, 240)
_TO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?")
_BOOLEANS = {"true": True, "false": False, "": False}


class ApiError(Exception):
    """An error response: `{"error": {"name": <status>, "message": ...}}` with that HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message

    @classmethod
    def missing(cls) -> ApiError:
        """A required parameter is missing."""
        return cls(400, "Missing request parameter error. Check the required parameters!")

    @classmethod
    def mismatch(cls) -> ApiError:
        """A parameter has the wrong type."""
        return cls(400, "Type mismatch error. Check the parameters type!")

    @classmethod
    def invalid(cls) -> ApiError:
        """A parameter has a value that is not allowed, or is encoded wrongly."""
        return cls(400, "Invalid parameter. Check the given value!")

    @classmethod
    def wrong_unit(cls) -> ApiError:
        """The unit of minute candles does not exist."""
        return cls(400, "specified unit is not valid.")

    @classmethod
    def unknown(cls) -> ApiError:
        """The market is not listed, or no longer."""
        return cls(404, "Code not found")


def required(query: Mapping[str, str], name: str) -> str:
    """The value of a required parameter. Raises ApiError."""
    if not query.get(name):
        raise ApiError.missing()
    return query[name]


def unit(text: str) -> int:
    """Parse the unit of minute candles in the path. Raises ApiError."""
    if not re.fullmatch(r"\d{1,9}", text):
        raise ApiError.mismatch()
    if int(text) not in UNITS:
        raise ApiError.wrong_unit()
    return int(text)


def count(query: Mapping[str, str]) -> int:
    """Number of rows to return: 1 by default, silently limited to 200. Raises ApiError."""
    text = query.get("count") or "1"
    if not re.fullmatch(r"[+-]?\d{1,9}", text):
        raise ApiError.mismatch()
    if int(text) < 1:
        raise ApiError.invalid()
    return min(int(text), MOST_ROWS)


def before(query: Mapping[str, str], now: float) -> int:
    """Parse `to` to seconds since the epoch, rounded up: returned candles start before it.

    Absent or empty means now; without a zone it is UTC. Raises ApiError.
    """
    text = query.get("to")
    if not text:
        return int(now) + 1
    if not _TO.fullmatch(text):
        raise ApiError.invalid()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ApiError.invalid() from None
    return ceil((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def boolean(query: Mapping[str, str], *names: str) -> bool:
    """Value of a flag that has several names; false when absent. Raises ApiError."""
    text = next((query[name] for name in names if name in query), "").lower()
    if text not in _BOOLEANS:
        raise ApiError.mismatch()
    return _BOOLEANS[text]


def converting(query: Mapping[str, str]) -> bool:
    """Whether the closes of days are requested in KRW as well, the only currency allowed. Raises ApiError."""
    text = query.get("converting_price_unit") or query.get("convertingPriceUnit")
    if text and text != "KRW":
        raise ApiError.invalid()
    return bool(text)
