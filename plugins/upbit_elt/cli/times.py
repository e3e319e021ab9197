"""Times on the command line and in what it prints."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from upbit_elt.candle import KST, day_start


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
        moment = moment if moment.tzinfo else moment.replace(tzinfo=KST)
        return moment.astimezone(UTC).replace(second=0, microsecond=0)


class Day(click.ParamType[str]):
    """A KST day, `yyMMdd` or `2026-11-24`."""

    name = "day"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The day as `yyMMdd`. Fails with the allowed form."""
        text = str(value)
        try:
            day_start(compact := text[2:].replace("-", "") if len(text) == len("2026-11-24") else text)
        except ValueError:
            self.fail(f"{value!r} is no day; write 261124 or 2026-11-24 (KST)", param, ctx)
        return compact


def kst(moment: datetime) -> str:
    """`2026-11-24 09:30 KST` of an aware datetime."""
    return f"{moment.astimezone(KST):%Y-%m-%d %H:%M} KST"
