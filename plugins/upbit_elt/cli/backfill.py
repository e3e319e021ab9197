"""The commands `backfill` and `adopt`, which bring history into the lake."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from types import FrameType

import click
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from upbit_elt.backfill.worker import WorkProgress
from upbit_elt.cli.parameters import MarketCode, Minutes, Moment
from upbit_elt.flows import backfill_candle as steps
from upbit_elt.lake.backfill_queue import Request, make_request
from upbit_elt.settings import Settings, settings
from upbit_elt.terminal import console


@click.command()
@click.option("--from", "start", type=Moment(), help="First minute (a date: 00:00 KST).")
@click.option("--to", "end", type=Moment(), help="End, exclusive (a date: 00:00 KST); default: now.")
@click.option("--market", "markets", type=MarketCode(), multiple=True, help="Only these; default: all collected.")
@click.option("--minutes", default=30, show_default=True, type=Minutes(), help="Without --from: how long to work.")
@click.option("--list", "listing", is_flag=True, help="Show the requests and their progress.")
@click.option("--cancel", "cancelled", metavar="ID", help="Cancel a request; candles that it fetched stay.")
def backfill(
    start: datetime | None,
    end: datetime | None,
    markets: tuple[str, ...],
    minutes: int,
    listing: bool,
    cancelled: str | None,
) -> None:
    """Fetch older candles.

    With --from: work on that span until it is done, between the live runs. When this ends early (Ctrl-C, a kill, a
    reboot), the DAG backfill_candle continues the request by itself, and so does the same command. Without --from:
    continue the open requests, as that DAG does.
    """
    here, now = settings(), datetime.now(UTC)
    if listing:
        queue = steps.queue(here)
        lines = [*map(str, queue.all()), *(f"{path}: cannot be read, is ignored" for path in queue.unreadable())]
        click.echo("\n".join(lines) or "there is no request (the days of UPBIT_ELT_HISTORY_DAYS are none)")
    elif cancelled is not None:
        click.echo(str(steps.queue(here).cancel(cancelled)))
    elif start:
        _work_off(here, steps.request(here, make_request(start, end or now, markets, now, _run_id())))
    elif end or markets:
        raise click.UsageError("--to and --market need --from")
    else:
        _go_on(here, minutes)


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
def adopt(folder: Path) -> None:
    """Import Parquet files of the old pipeline from FOLDER: candles that are provably closed are stored.

    The rest is left to `backfill`. A file that is no Parquet of candles ends the command before anything is stored.
    """
    found = steps.adopt_folder(settings(), folder)
    click.echo(f"{found.files} files, {found.rows} rows: kept {found.imported}")
    for name, counts in (("duplicate", found.duplicates), ("open", found.open), ("rejected", found.invalid)):
        for reason, count in sorted(counts.items()):
            click.echo(f"  {name} {count}: {reason}")
    for day in found.published:
        click.echo(f"  {day.day}: {day.folder}")


def _work_off(here: Settings, request: Request) -> None:
    out = console(stderr=True)
    out.print(f"request {request}", soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), _Candles(), TimeRemainingColumn())
    with Progress(*columns, console=out) as bar, _stops_on_signal() as stop:
        task = bar.add_task("backfill", total=None, candles=0)

        def on_progress(progress: WorkProgress) -> None:
            bar.update(task, total=progress.total, completed=progress.done, candles=progress.candles)

        done = steps.work_off(here, request, _run_id(), on_progress, stop.is_set)
    if stop.is_set() and done and not done.done:
        out.print(
            "stopped; nothing is lost: the DAG backfill_candle continues the request, and so does the same command. "
            f"To cancel it: python -m upbit_elt backfill --cancel {request.id}",
            soft_wrap=True,
        )
        sys.exit(130)
    click.echo(_outcome(request, done))
    sys.exit(1 if done is None or done.left or not done.done else 0)


@contextmanager
def _stops_on_signal() -> Iterator[Event]:
    """Give an Event that Ctrl-C or SIGTERM sets, so that the current chunk can be finished and stored.

    A second Ctrl-C ends the process at once.
    """
    stop = Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def request_stop(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, request_stop)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _outcome(request: Request, done: Request | None) -> str:
    if done is None:
        return f"{request.id} was cancelled; candles that it fetched stay"
    late = sorted(done.nothing_before.items())
    lines = [str(done)]
    lines += [f"  {market}: the exchange has nothing before {moment:%Y-%m-%dT%H:%MZ}" for market, moment in late]
    if done.done:
        lines += [f"  {day}: requests of a market failed; stored as a hole with its reason" for day in done.left]
    return "\n".join(lines)


def _go_on(here: Settings, minutes: int) -> None:
    progress = steps.go_on(here, _run_id(), datetime.now(UTC) + timedelta(minutes=minutes))
    if progress.busy:
        click.echo("another backfill is running; nothing was done")
    days_published = ", ".join(item.day for item in progress.published) or "none"
    click.echo(
        f"{progress.candles} candles; days published: {days_published}; left: {', '.join(progress.left) or 'none'}"
    )
    for request in progress.requests:
        click.echo(f"open: {request}")
    for name, trouble in progress.troubles.items():
        click.echo(f"{name} makes no progress: {trouble}")
    sys.exit(1 if progress.troubles else 0)


def _run_id() -> str:
    return f"cli__{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


class _Candles(ProgressColumn):
    """Column with the candles so far, in total and per second."""

    def render(self, task: Task) -> Text:
        """Text of the column."""
        count = task.fields["candles"]
        return Text(f"{count:,} candles, {count / (task.elapsed or 1):,.0f}/s")
