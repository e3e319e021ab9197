"""The steps of reconciliation, as the DAG `prove_day` and the command line call them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from upbit_elt import pipeline
from upbit_elt.clock import SystemClock
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.lake import ledger
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality import proofs
from upbit_elt.quality.judged import Judged
from upbit_elt.quality.prove import Prover, wanted
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive
from upbit_elt.warehouse.tables import days, ensure_partition, locations

# Days whose place in Hive is looked at by every run; of older ones, only that they are there.
RECENT = 8


def prove(
    settings: Settings,
    run_id: str,
    until: datetime,
    chosen: Iterable[str] | None = None,
    *,
    wait: timedelta = timedelta(0),
    tick: Callable[[], None] = lambda: None,
) -> list[Judged]:
    """Judge KST days (all that wait for it without `chosen`) until `until` (UTC), and show repairs and results in Hive.

    Raises:
        LeaseHeld: another run is proving.
        LakeError, WarehouseError: run it again.
    """
    clock, lake = SystemClock(), Lake.from_settings(settings)
    client = UpbitClient.from_settings(settings, clock)
    try:
        prover = Prover(client, lake, settings, clock, tick=tick)
        days = wanted(lake, clock.now()) if chosen is None else chosen
        judged = prover.run(run_id, days, until, retry=True, wait=wait)
    finally:
        client.close()
    show(settings, judged)
    return judged


def show(settings: Settings, judged: Iterable[Judged]) -> list[str]:
    """Make Hive show repaired days and all results; returns the days whose results had to be moved.

    What a run that died left unshown is shown by the next.
    """
    return show_in(Hive.from_settings(settings), Lake.from_settings(settings), settings, judged)


def show_in(hive: Hive, lake: Lake, settings: Settings, judged: Iterable[Judged]) -> list[str]:
    """As `show`, with a lake and a Hive that are there already."""
    mine = [one.day for one in judged if not one.trouble]
    pipeline.show_in(hive, lake, settings, mine)
    there = ledger.days(lake, "reconciliation")
    moved = []
    with hive.session() as session:
        shown = set(days(session, settings, "reconciliation"))
        looked_at = {*mine, *there[-RECENT:], *(day for day in there if day not in shown)}
        places = locations(session, settings, "reconciliation", looked_at)
        for day in sorted(looked_at):
            found = proofs.newest(lake, day)
            if found and places.get(day) != found.folder:
                ensure_partition(session, settings, "reconciliation", day, found.folder)
                moved.append(day)
    return moved
