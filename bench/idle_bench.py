"""What happens when there is nothing to do: WebHDFS operations and Hive sessions, counted, on lakes of any age.

    python bench/idle_bench.py --days 1 --days 30 --days 365 --days 3300

Needs no daemon: HDFS, Hive and the exchange are in this process (tests/support), with the real ones' semantics. The
page's polling is not in it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO / "plugins"), str(REPO)]

import click

from tests.support.idle import Cost, Deployment

AGES = (1, 30, 365, 3300)


@click.command()
@click.option("--days", "ages", multiple=True, type=click.IntRange(1), default=AGES, help="Age of a lake, in days.")
def main(ages: tuple[int, ...]) -> None:
    """Print a table: a row a step, a column a lake, each cell `WebHDFS operations / Hive sessions`."""
    cycles, longer = [], []
    for days in ages:
        with tempfile.TemporaryDirectory() as state:
            lake = Deployment(days, Path(state))
            cycles.append(lake.cycle())
            longer.append(lake.ten_minutes())
    click.echo("WebHDFS operations / Hive sessions")
    click.echo(_line("days of the lake", [str(days) for days in ages]))
    _table("every 2 minutes", cycles)
    _table("every 10 minutes", longer)


def _table(head: str, columns: list[list[Cost]]) -> None:
    for number, cost in enumerate(columns[0]):
        click.echo(_line(cost.step, [_cell([column[number]]) for column in columns]))
    click.echo(_line(f"{head}, in all", [_cell(column) for column in columns]))


def _cell(costs: list[Cost]) -> str:
    return f"{sum(cost.operations for cost in costs)} / {sum(cost.sessions for cost in costs)}"


def _line(name: str, cells: list[str]) -> str:
    return f"{name:26}" + "".join(f"{cell:>12}" for cell in cells)


if __name__ == "__main__":
    main()
