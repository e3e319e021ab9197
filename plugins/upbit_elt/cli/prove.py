"""The command `prove`: reconciles closed days with the exchange's own hourly candles."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from upbit_elt.candle import days_between
from upbit_elt.cli.parameters import KstDay, Minutes, Moment, kst
from upbit_elt.errors import NotCollected
from upbit_elt.flows import prove_day
from upbit_elt.lake import ledger
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality.reconcile import wanted
from upbit_elt.quality.results import state_of
from upbit_elt.settings import settings

MAX_PRINTED = 50  # most markets whose discrepancies are printed
MAX_DAYS = 10  # most days that a message names


@click.command()
@click.option("--day", "days", type=KstDay(), multiple=True, help="A KST day, yyMMdd; may be repeated.")
@click.option("--from", "start", type=Moment(), help="First minute of a span of days.")
@click.option("--to", "end", type=Moment(), help="End of the span, exclusive; default: now.")
@click.option("--minutes", default=30, show_default=True, type=Minutes(), help="How long to work at most.")
def prove(days: tuple[str, ...], start: datetime | None, end: datetime | None, minutes: int) -> None:
    """Compare closed days hour by hour with the exchange, repair what differs, and compare again.

    Without a day: all closed days that are not proven yet. Exit 1 when something stays different, or when not all
    could be compared.
    """
    now = datetime.now(UTC)
    if end and not start:
        raise click.UsageError("--to needs --from")
    chosen = sorted({*days, *(days_between(start, min(end or now, now)) if start else ())})
    if start and not chosen:
        raise click.UsageError(f"no day lies between {kst(start)} and {kst(min(end or now, now))}")
    closed = _closed(chosen) if chosen else wanted(Lake.from_settings(settings()), now, retry=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.completed:.0f} spans fetched"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task("fetching", total=None)
        reconciled = prove_day.prove(
            settings(),
            f"cli__{now:%Y-%m-%dT%H:%M:%SZ}",
            now + timedelta(minutes=minutes),
            closed,
            wait=timedelta(seconds=100),
            tick=lambda: bar.advance(task),
        )
    for one in reconciled:
        click.echo(str(one))
    discrepancies = [(one.day, row) for one in reconciled for row in one.discrepancies]
    for day, row in discrepancies[:MAX_PRINTED]:
        for discrepancy in row.found():
            click.echo(f"discrepancy {day} {row.market} {json.dumps(discrepancy)}")
    left = sorted(set(closed) - {one.day for one in reconciled})
    if left:
        click.echo(f"not reconciled yet: {', '.join(left)}; run it again")
    if not reconciled and not left:
        click.echo("nothing to do: every closed day is proven")
    sys.exit(1 if discrepancies or left or any(one.unreconciled or one.trouble for one in reconciled) else 0)


def _closed(days: list[str]) -> list[str]:
    """Filter the days that are closed; print which are not, and why. Raises NotCollected when none is closed."""
    lake = Lake.from_settings(settings())
    there = set(ledger.days(lake, "candle"))
    absent = [day for day in days if day not in there]
    open_days = [day for day in days if day in there and state_of(lake, day)[0] == "open"]
    words = [f"{_named(absent)}: the lake has nothing of it"] if absent else []
    words += (
        [f"{_named(open_days)}: not closed yet, a day is closed once it is covered to 24:00 KST"] if open_days else []
    )
    closed = [day for day in days if day not in {*absent, *open_days}]
    if not closed:
        raise NotCollected("; ".join(words))
    if words:
        click.echo(f"left out: {'; '.join(words)}", err=True)
    return closed


def _named(days: list[str]) -> str:
    more = f" and {len(days) - MAX_DAYS} more" if len(days) > MAX_DAYS else ""
    return ", ".join(days[:MAX_DAYS]) + more
