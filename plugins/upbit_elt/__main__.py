"""The command line: each step of the pipeline by hand. See `python -m upbit_elt --help`."""

from __future__ import annotations

import sys
from contextlib import closing
from datetime import UTC, datetime

import click
from rich.progress import Progress, TimeRemainingColumn

from upbit_elt import release
from upbit_elt.candle import day_start, kst_day
from upbit_elt.cli import gaps, prove
from upbit_elt.cli.backfill import adopt, backfill
from upbit_elt.cli.clean import clean
from upbit_elt.cli.close import close
from upbit_elt.cli.parameters import MarketCode, Moment, kst
from upbit_elt.collect.plan import FetchRequest
from upbit_elt.errors import UpbitEltError
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.flows import min_candle
from upbit_elt.lake import ledger
from upbit_elt.lake.archive import forget_killed
from upbit_elt.lake.provision import provision as make_folders
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality.compare import accounted, compare
from upbit_elt.settings import Settings, settings
from upbit_elt.terminal import console
from upbit_elt.warehouse.hive import Hive


@click.group()
def main() -> None:
    """Upbit candles, end to end. Settings are read from UPBIT_ELT_* and UPBIT_BASE_URL."""
    release.check(settings().state_dir)


@main.command()
def collect() -> None:
    """Bring the lake and Hive up to the last closed minute (what the DAG min_candle does).

    Exit 1 when not one request for candles was answered.
    """
    here = settings()
    window = min_candle.collect(here, f"cli__{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    folders = {published.day: published.folder for published in window.files}
    min_candle.register(here, folders, folders)
    click.echo(str(window))
    if window.outage:
        raise click.ClickException(window.outage)


@main.command()
@click.option("--from", "start", type=Moment(), help="First minute; default: the KST day's first.")
@click.option("--to", "end", type=Moment(), help="End, exclusive; default: as far as the lake is covered.")
@click.option("--market", "markets", type=MarketCode(), multiple=True, help="Only these markets.")
def verify(start: datetime | None, end: datetime | None, markets: tuple[str, ...]) -> None:
    """Compare Hive with the exchange, value by value. Exit 1 when anything differs."""
    here = settings()
    spans = _spans(here, start, end, markets)
    columns = (*Progress.get_default_columns()[:-1], TimeRemainingColumn())
    with closing(UpbitClient.from_settings(here)) as client, Progress(*columns, console=console(stderr=True)) as bar:
        task = bar.add_task("comparing", total=len(spans))
        found = compare(Hive.from_settings(here), client, here, spans, lambda: bar.advance(task))
    for example in found.examples:
        click.echo(example)
    click.echo(
        f"{min(s.start for s in spans):%Y-%m-%dT%H:%MZ} to {max(s.end for s in spans):%Y-%m-%dT%H:%MZ}, "
        f"{len({s.market for s in spans})} markets: compared {found.compared}, lost {found.lost}, "
        f"doubled {found.doubled}, altered {found.altered}, invented {found.invented}"
    )
    sys.exit(0 if found.equal else 1)


@main.command()
@click.option("--writer", default="upbit", show_default=True, help="Who writes candles, forecasts and models.")
def provision(writer: str) -> None:
    """Make the folders in HDFS and give them their owners, as HDFS's superuser (UPBIT_ELT_WEBHDFS_USER)."""
    lake = Lake.from_settings(settings())
    for folder in make_folders(lake, writer):
        click.echo(f"{folder.path:28} {folder.owner:8} {folder.permission}")
    for name in forget_killed(lake, datetime.now(UTC)):
        click.echo(f"{name}: the HDFS snapshot of a backup that was killed is gone")


def _spans(
    here: Settings, start: datetime | None, end: datetime | None, markets: tuple[str, ...]
) -> list[FetchRequest]:
    lake = Lake.from_settings(here)
    known = ledger.live_coverage(lake)
    if known is None:
        raise click.ClickException("the lake is empty; start collecting first")
    unknown = sorted(set(markets) - known.watermark.keys())
    if unknown:
        raise click.BadParameter(
            f"{', '.join(unknown)}: not collected here; {here.page_url}/api/v1/markets lists what is",
            param_hint="--market",
        )
    begin, stop = start or day_start(kst_day(known.end)), min(end or known.end, known.end)
    spans = [span for span in accounted(lake, begin, stop) if not markets or span.market in markets]
    if not spans:
        raise click.BadParameter(
            f"nothing is covered from {kst(begin)} to {kst(stop)}; the lake reaches until {kst(known.end)}",
            param_hint="--from/--to",
        )
    return spans


for command in (backfill, adopt, gaps.gaps, gaps.explain, close, prove.prove, clean):
    main.add_command(command)

if __name__ == "__main__":
    try:
        main(prog_name="python -m upbit_elt")
    except UpbitEltError as error:
        console(stderr=True).print(f"{type(error).__name__}: {error}", style="red")
        sys.exit(2)
