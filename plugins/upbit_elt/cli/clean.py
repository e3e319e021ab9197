"""The command `clean`: housekeeping of the lake by hand."""

from __future__ import annotations

import sys

import click

from upbit_elt.flows.housekeeping import clean_lake, would_go
from upbit_elt.settings import settings


@click.command()
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
def clean(dry_run: bool) -> None:
    """Remove from the lake what is no longer needed (as the DAG housekeeping does).

    Old days of forecasts are removed from Hive first; a run a day later removes their files.
    """
    troubles: dict[str, str] = {}
    paths = (would_go if dry_run else clean_lake)(settings(), troubles)
    for path in paths:
        click.echo(path)
    click.echo(f"{len(paths)} paths {'would go' if dry_run else 'removed'}")
    for name, trouble in troubles.items():
        click.echo(f"{name} stays: {trouble}")
    sys.exit(1 if troubles else 0)
