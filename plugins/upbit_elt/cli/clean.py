"""Housekeeping of the lake by hand."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from upbit_elt.housekeeping.lake import clean_lake, would_go
from upbit_elt.settings import settings


@click.command()
@click.option("--dry-run", is_flag=True, help="Only name what would go.")
def clean(dry_run: bool) -> None:
    """Remove what nobody needs any more from the lake (what the DAG housekeeping does there).

    Old days of forecasts are hidden from Hive first, and go with a run a day later.
    """
    troubles: dict[str, str] = {}
    paths = (would_go if dry_run else clean_lake)(settings(), datetime.now(UTC), troubles)
    for path in paths:
        click.echo(path)
    click.echo(f"{len(paths)} paths {'would go' if dry_run else 'removed'}")
    for name, trouble in troubles.items():
        click.echo(f"{name} stays: {trouble}")
    sys.exit(1 if troubles else 0)
