"""States of a small deployment, each a moment before a job that has something to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.support.invariants import settle
from tests.support.simulation import MARKETS, Job, Process, World, utc
from tests.support.small_exchange import SmallExchange
from upbit_elt.candle import kst_day, to_table
from upbit_elt.lake import ledger
from upbit_elt.lake.publish import MOST_FILES

NOON = utc("2026-11-24T03:00:05")


def established(now: str, **changes: Any) -> World:
    """A deployment with its history brought in, all right and at rest, some minutes before `now`."""
    world = World.fresh(utc(now) - timedelta(minutes=70), **changes)
    settle(world, 2)
    return world


def first_run() -> World:
    """Nothing is there."""
    return World.fresh(NOON)


def open_day() -> World:
    """A day under way, its history brought in."""
    return established("2026-11-24T03:00:05").at(NOON)


def midnight() -> World:
    """The next live run's window reaches over the end of the KST day."""
    return established("2026-11-24T14:57:05").at(utc("2026-11-24T15:02:05"))


def many_files() -> World:
    """The next file of the open day is the one that has it compacted."""
    world = established("2026-11-24T03:00:05")
    world.at(NOON)
    while _files(world) < MOST_FILES - 1:
        _live(world.at(world.clock.now() + timedelta(minutes=2)))
    return world.at(world.clock.now() + timedelta(minutes=2))


def day_over() -> World:
    """The KST day has ended, its last window is there, and its forecasts as well."""
    world = established("2026-11-24T14:50:05")
    for minute in (52, 56, 58):
        world.at(utc(f"2026-11-24T14:{minute}:05")).process().live()
        world.process().forecast()
    world.at(utc("2026-11-24T15:02:05")).process().live()
    return world.at(utc("2026-11-24T15:14:05")) and _live(world)


def differing() -> World:
    """A closed day in which the lake lacks a candle and holds another one wrong: reconciliation will repair it."""
    world = established("2026-11-24T14:50:05")
    start, end = utc("2026-11-24T14:50:00"), utc("2026-11-24T15:00:00")
    lost, wrong = [c for c in world.exchange.truth(start, end) if c.market == "KRW-AAA"][:2]
    world.exchange.lies = {
        (lost.market, lost.start): None,
        (wrong.market, wrong.start): replace(wrong, candle_acc_trade_volume=wrong.candle_acc_trade_volume * 2),
    }
    for moment in ("14:54:05", "15:02:05", "15:14:05", "15:34:05"):
        world.at(utc(f"2026-11-24T{moment}")).process().live()
    world.process().close()
    world.exchange.lies, world.wrong = {}, 1
    return world.at(utc("2026-11-24T15:36:05"))


def history_wanted() -> World:
    """The first live run has been: today's beginning and yesterday are wanted."""
    world = World.fresh(NOON)
    world.process().live()
    return world.at(NOON + timedelta(seconds=30))


def history_requested() -> World:
    """There is a request for two days more than are there."""
    return _requested(established("2026-11-24T03:00:05").at(NOON))


def old_files(folder: Path) -> World:
    """A folder with a file of an old pipeline, of a day before the lake begins."""
    world = established("2026-11-24T03:00:05").at(NOON)
    start, end = utc("2026-11-21T15:00:00"), utc("2026-11-22T15:00:00")
    rows = SmallExchange(world.clock, MARKETS).truth(start, end)
    folder.mkdir(exist_ok=True)
    pq.write_table(to_table(rows), folder / "2611221450.parquet")
    world.old_files = folder
    world.adopted = tuple(c for c in rows if c.start < utc("2026-11-22T14:49:00"))
    return world


def forecast_due() -> World:
    """A new origin has no forecast yet."""
    world = established("2026-11-24T03:00:05").at(NOON)
    return _live(world)


def _files(world: World) -> int:
    lake, day = world.process().lake, kst_day(world.clock.now())
    current = ledger.current(lake, "candle", day)
    return len(ledger.files(lake, current, day)) if current else 0


def _live(world: World) -> World:
    world.process().live()
    return world


SCENES: dict[str, tuple[Callable[[], World], Job]] = {
    "the first live run": (first_run, Process.live),
    "a live run": (open_day, Process.live),
    "midnight": (midnight, Process.live),
    "compaction": (many_files, Process.live),
    "close": (day_over, Process.close),
    "repair": (differing, Process.prove),
    "backfill of the wanted days": (history_wanted, Process.backfill),
    "backfill of a request": (history_requested, Process.backfill),
    "forecast": (forecast_due, Process.forecast),
}


def day_over_live_due() -> World:
    """As `day_over`, and two minutes later."""
    world = day_over()
    return world.at(world.clock.now() + timedelta(minutes=2))


def history_wanted_live_due() -> World:
    """As `history_wanted`, and the next live run begins."""
    return history_wanted().at(NOON + timedelta(minutes=2))


def day_over_history_requested() -> World:
    """As `day_over`, and there is a request for a day before."""
    return _requested(day_over())


def differing_history_requested() -> World:
    """As `differing`, and there is a request for a day before."""
    return _requested(differing())


def _requested(world: World) -> World:
    start, end = utc("2026-11-21T15:00:00"), utc("2026-11-22T15:00:00")
    world.process().request(start, end)
    world.begin = start
    return world
