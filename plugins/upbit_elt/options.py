"""Types of command line options that several commands share."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from upbit_elt.candle import KST


class Moment(click.ParamType[datetime]):
    """A time with or without zone (none means KST), to the minute."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """UTC minute of an ISO 8601 text. Fails with the allowed form."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time; write 2026-11-24T09:30 (KST) or 2026-11-24T00:30Z", param, ctx)
        return (moment if moment.tzinfo else moment.replace(tzinfo=KST)).astimezone(UTC).replace(second=0)
