"""Types of command-line parameters: times, days, durations, markets; and how times are printed."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import click

from upbit_elt.candle import KST, day_start, kst_day

YEARS = range(2000, 2200)
_CODE = re.compile(r"^[A-Z0-9]{1,20}-[A-Z0-9]{1,20}$", re.ASCII)


class Moment(click.ParamType[datetime]):
    """A time with minute precision; without a zone it is KST."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Convert an ISO 8601 text to a UTC minute. Fails with a message that shows the allowed form."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time; write 2026-11-24T09:30 (KST) or 2026-11-24T00:30Z", param, ctx)
        if moment.year not in YEARS:
            self.fail(f"{value!r} is not between {YEARS[0]} and {YEARS[-1]}", param, ctx)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=KST)
        return moment.astimezone(UTC).replace(second=0, microsecond=0)


class KstDay(click.ParamType[str]):
    """A KST day, `yyMMdd` or `2026-11-24`."""

    name = "day"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Convert to `yyMMdd`. Fails with a message that shows the allowed form."""
        text = str(value)
        try:
            start = day_start(text[2:].replace("-", "") if len(text) == len("2026-11-24") else text)
        except ValueError:
            self.fail(f"{value!r} is no day; write 261124 or 2026-11-24 (KST)", param, ctx)
        return kst_day(start)


class Minutes(click.IntRange):
    """A duration in minutes, at most a week."""

    def __init__(self) -> None:
        super().__init__(1, 7 * 24 * 60)


class MarketCode(click.ParamType[str]):
    """A market as `KRW-BTC`; lower case is accepted."""

    name = "market"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Convert to the exchange's code. Fails with a message that shows the allowed form."""
        code = str(value).strip().upper()
        if not _CODE.match(code):
            self.fail(f"{value!r} is no market; write quote and coin, as KRW-BTC", param, ctx)
        return code


def kst(moment: datetime) -> str:
    """Write an aware datetime as `2026-11-24 09:30 KST`."""
    return f"{moment.astimezone(KST):%Y-%m-%d %H:%M} KST"
