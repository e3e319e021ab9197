"""The commands `gaps` and `explain`: how the lake accounts for every minute."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from upbit_elt.candle import day_start, kst_day, wire
from upbit_elt.cli.parameters import MarketCode, Moment, kst
from upbit_elt.errors import NotCollected
from upbit_elt.lake import ledger
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality.coverage_report import Account, Accounts, Hole, accounts_of
from upbit_elt.quality.explain import Chain, Evidence, near
from upbit_elt.quality.explain import explain as evidence_of
from upbit_elt.settings import settings

MAX_MARKETS = 3  # most markets that a line about holes names


@click.command()
@click.option("--from", "start", type=Moment(), help="First minute; default: the KST day's first.")
@click.option("--to", "end", type=Moment(), help="End, exclusive; default: as far as the lake is covered.")
@click.option("--market", "markets", type=MarketCode(), multiple=True, help="Only these markets.")
@click.option("--json", "as_json", is_flag=True, help="For programs; times are UTC.")
def gaps(start: datetime | None, end: datetime | None, markets: tuple[str, ...], as_json: bool) -> None:
    """Show how the lake accounts for every minute. Exit 1 when something may be missing.

    A hole is explained when the exchange has no candles there: before collection began, not listed yet,
    delisted, venue outage. Failed requests, quarantined rows and minutes that were never requested are not.
    """
    lake = Lake.from_settings(settings())
    known = ledger.live_coverage(lake)
    if known is None:
        raise NotCollected("the lake is empty; start collecting first")
    begin, stop = start or day_start(kst_day(known.end)), min(end or known.end, known.end)
    if begin >= stop:
        raise click.BadParameter(
            f"nothing lies between {kst(begin)} and {kst(stop)}; the lake reaches until {kst(known.end)}",
            param_hint="--from/--to",
        )
    found = accounts_of(lake, known, begin, stop, markets)
    if unknown := [one.market for one in found.accounts if one.market not in known.watermark and not one.known]:
        raise click.BadParameter(
            f"{', '.join(unknown)}: not collected here, and no history of it was backfilled between {kst(begin)} and "
            f"{kst(stop)}{near(unknown[0], known.watermark)}",
            param_hint="--market",
        )
    if as_json:
        click.echo(json.dumps(_document(found, begin, stop)))
    else:
        _print(found, begin, stop)
    sys.exit(1 if found.unexplained() else 0)


@click.command()
@click.argument("market", type=MarketCode())
@click.argument("minute", type=Moment())
def explain(market: str, minute: datetime) -> None:
    """Show what the lake knows of one minute: candle or hole, run, file and snapshot, watermark, reconciliation."""
    for line in _lines(evidence_of(Lake.from_settings(settings()), market, minute, datetime.now(UTC))):
        click.echo(line)


def _document(found: Accounts, start: datetime, end: datetime) -> dict[str, Any]:
    return {
        "start": f"{wire(start)}Z",
        "end": f"{wire(end)}Z",
        "unexplained_minutes": found.unexplained(),
        "outages": [[f"{wire(first)}Z", f"{wire(last)}Z"] for first, last in found.outages],
        "markets": [
            {
                "market": one.market,
                "candles": one.candles,
                "empty": {"proven": one.proven, "asked": one.empty, "quiet": one.inactive},
                "holes": [_hole(hole) for hole in one.holes],
            }
            for one in found.accounts
        ],
    }


def _hole(hole: Hole) -> dict[str, Any]:
    return {
        "start": f"{wire(hole.start)}Z",
        "end": f"{wire(hole.end)}Z",
        "minutes": hole.minutes,
        "reason": hole.reason.label,
        "code": hole.reason.value,
        "detail": hole.detail,
        "explained": hole.explained,
    }


def _print(found: Accounts, start: datetime, end: datetime) -> None:
    console = Console(highlight=False, soft_wrap=True)
    table = Table(title=f"{kst(start)} to {kst(end)}: minutes by what they are", title_justify="left")
    table.add_column("market", footer=f"{len(found.accounts)} markets")
    columns = {
        "candle": [one.candles for one in found.accounts],
        "proven empty": [one.proven for one in found.accounts],
        "asked, empty": [one.empty for one in found.accounts],
        "quiet": [one.inactive for one in found.accounts],
        "explained hole": [one.missing(explained=True) for one in found.accounts],
        "HOLE": [one.missing(explained=False) for one in found.accounts],
    }
    for name, values in columns.items():
        table.add_column(name, footer=f"{sum(values):,}", justify="right")
    for row, one in enumerate(found.accounts):
        table.add_row(one.market, *(f"{values[row]:,}" if values[row] else "-" for values in columns.values()))
    table.show_footer = True
    console.print(table)
    for line in _hole_lines(found.accounts):
        console.print(line, markup=False)
    for first, last in found.outages:
        console.print(f"no market traded from {kst(first)} to {kst(last)}: venue outage", markup=False)
    console.print(_verdict(found))


def _hole_lines(accounts: Sequence[Account]) -> list[str]:
    """Lines about holes, unexplained ones first; equal holes of several markets share a line."""
    markets: dict[Hole, list[str]] = defaultdict(list)
    for one in accounts:
        for hole in one.holes:
            markets[hole].append(one.market)
    lines = []
    for hole in sorted(markets, key=lambda hole: (hole.explained, hole)):
        names, more = markets[hole][:MAX_MARKETS], len(markets[hole]) - MAX_MARKETS
        who = ", ".join(names) + (f" and {more} more" if more > 0 else "")
        kind = "hole" if hole.explained else "HOLE"
        lines.append(f"{kind} {kst(hole.start)} to {kst(hole.end)}, {hole.minutes} min: {hole.words}: {who}")
    return lines


def _verdict(found: Accounts) -> str:
    missing = found.unexplained()
    return f"{missing:,} market-minutes may be missing" if missing else "every minute is accounted for"


def _lines(chain: Chain) -> list[str]:
    lines = [f"{chain.market} {kst(chain.minute)} ({wire(chain.minute)}Z): {chain.state}"]
    lines += [line for found in chain.evidence for line in _evidence(found)]
    for found in chain.waiting:
        lines += ["waiting for its day to be complete:", *_evidence(found)]
    if not chain.evidence:
        lines.append("no file accounts for it in this market")
    if chain.watermark:
        own = f"collected from {kst(chain.first) if chain.first else 'never'}, watermark {kst(chain.watermark)}"
    else:
        own = "not collected by live runs; the lake has only what was backfilled"
    lines.append(f"{chain.market}: {own}; the lake reaches until {kst(chain.covered_until)}")
    return [*lines, *_reconciliation(chain)]


def _evidence(found: Evidence) -> list[str]:
    lines = [f"{'file' if found.current else 'older file'} {found.path}, written by run {found.run}"]
    if found.span:
        words = f" ({found.span.why})" if found.span.why else ""
        lines.append(f"    {found.span.state}{words} {kst(found.span.start)} to {kst(found.span.end)}")
    return lines + [
        f"    candle: open {c.opening_price}, high {c.high_price}, low {c.low_price}, close {c.trade_price}, value "
        f"{c.candle_acc_trade_price}, volume {c.candle_acc_trade_volume}, last tick {c.timestamp}"
        for c in found.candles
    ]


def _reconciliation(chain: Chain) -> list[str]:
    day = kst_day(chain.minute)
    if chain.day_result is None:
        return [f"day {day} is {chain.day_state}; not reconciled" + ("" if chain.day_state == "open" else " yet")]
    lines = [f"day {day} is {chain.day_state}; reconciliation {chain.day_result.path}"]
    if one := chain.market_result:
        lines.append(
            f"    {one.state}: {one.hours} hours compared with the exchange's own at {one.checked}Z, "
            f"{one.differences} differed, {one.repaired} repaired, {one.discrepancies} discrepancies"
        )
        found = one.found()
        lines += [f"    discrepancy: {json.dumps(discrepancy)}" for discrepancy in found]
        lines += [f"    not reconciled: {json.dumps(entry)}" for entry in one.entries() if entry not in found]
    return lines
