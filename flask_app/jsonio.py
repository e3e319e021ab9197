"""JSON that browsers and Tableau accept: keys stay in the given order, and NaN and Infinity never occur."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from flask.json.provider import DefaultJSONProvider


class StrictJson(DefaultJSONProvider):
    """Raises ValueError for NaN and Infinity, which JSON does not have."""

    sort_keys = False

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """JSON text of `obj`."""
        return super().dumps(obj, allow_nan=False, **kwargs)


def number(value: float | None) -> float | None:
    """The value, or None (JSON null) where it is not a finite number."""
    return value if value is not None and math.isfinite(value) else None


def zulu(moment: datetime | None) -> str | None:
    """Write an aware datetime as `2026-11-24T23:16:00Z` (UTC); None stays None."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
