"""`prove`: hold closed days against the exchange's own hours."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from upbit_elt import proving
from upbit_elt.candle import days_between
from upbit_elt.cli.times import Day, Moment
from upbit_elt.errors import NotCollected
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality.proofs import state_of
from upbit_elt.quality.prove import wanted
from upbit_elt.settings import settings

FINDINGS = 50  # that are printed


@click.command()
@click.option("--day", "days", type=Day(), multiple=True, help="A KST day, yyMMdd; may be repeated.")
@click.option("--from", "start", type=Moment(), help="First minute of a span of days.")
@click.option("--to", "end", type=Moment(), help="End of the span, exclusive; default: now.")
@click.option("--minutes", default=30, show_default=True, type=click.IntRange(1), help="How long to work at most.")
def prove(days: tuple[str, ...], start: datetime | None, end: datetime | None, minutes: int) -> None:
    """Compare closed days hour by hour with the exchange, repair what differs, and compare again.

    Without a day: all closed days that are not proven yet. Exit 1 when something stays different, or when not all
    could be compared.
    """
    now = datetime.now(UTC)
    if end and not start:
        raise click.UsageError("--to needs --from")
    chosen = sorted({*days, *(days_between(start, end or now) if start else ())})
    closed = _closed(chosen) if chosen else wanted(Lake.from_settings(settings()), now, retry=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.completed:.0f} spans asked"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task("asking", total=None)
        judged = proving.prove(
            settings(),
            f"cli__{now:%Y-%m-%dT%H:%M:%SZ}",
            now + timedelta(minutes=minutes),
            closed,
            wait=timedelta(seconds=100),
            tick=lambda: bar.advance(task),
        )
    for one in judged:
        click.echo(str(one))
    findings = [(one.day, row) for one in judged for row in one.findings]
    for day, row in findings[:FINDINGS]:
        for finding in json.loads(row.detail):
            click.echo(f"finding {day} {row.market} {json.dumps(finding)}")
    left = sorted(set(closed) - {one.day for one in judged})
    if left:
        click.echo(f"the time was over before: {', '.join(left)}; run it again")
    if not judged and not left:
        click.echo("nothing to do: every closed day is proven")
    sys.exit(1 if findings or left or any(one.unjudged for one in judged) else 0)


def _closed(days: list[str]) -> list[str]:
    """Those of the days that are closed; says which are not. Raises NotCollected when none is."""
    lake = Lake.from_settings(settings())
    open_days = [day for day in days if state_of(lake, day)[0] == "open"]
    if len(open_days) == len(days):
        raise NotCollected(f"{', '.join(open_days)}: not closed yet; a day is proven once it is covered to 24:00 KST")
    if open_days:
        click.echo(f"not closed yet, left out: {', '.join(open_days)}", err=True)
    return [day for day in days if day not in open_days]
