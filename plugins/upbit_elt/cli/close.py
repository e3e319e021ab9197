"""The command `close`: does by hand what the DAG close_day does."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from upbit_elt.candle import day_start, kst_day
from upbit_elt.flows import close_day
from upbit_elt.settings import settings


@click.command()
@click.option("--day", metavar="yyMMdd", help="Only this KST day; exit 1 when it stays open.")
@click.option("--with-holes", is_flag=True, help="Close days with holes now instead of waiting for them to be filled.")
def close(day: str | None, with_holes: bool) -> None:
    """Close the days that are over: write one sorted file each and compare it with its sources.

    The DAG close_day does the same. Exit 1 when a day cannot be closed because something is wrong with it.
    """
    if day:
        _check(day)
    done = close_day.close(settings(), f"cli__{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", only=day, with_holes=with_holes)
    for published in done.made:
        click.echo(f"{published.day}: {published.rows} rows in {published.folder}/{published.file_name}")
    for hole in done.holes:
        click.echo(f"hole: {hole.market} {hole.start:%Y-%m-%dT%H:%MZ} to {hole.end:%Y-%m-%dT%H:%MZ}: {hole.why}")
    for table in done.repaired_tables:
        click.echo(f"{table}: registered in Hive now")
    for name, reason in {**done.waiting, **done.troubles}.items():
        click.echo(f"{name} stays open: {reason}")
    if not (done.made or done.repaired_tables or done.waiting or done.troubles):
        click.echo(f"{day} is closed already" if day else "nothing to close")
    sys.exit(1 if done.troubles or (day and done.waiting) else 0)


def _check(day: str) -> None:
    try:
        known = kst_day(day_start(day)) == day
    except ValueError:
        known = False
    if not known:
        raise click.BadParameter(f"{day!r} is no day; write yyMMdd, as 261124", param_hint="--day")
