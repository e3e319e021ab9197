"""What goes from the lake, in memory."""

from __future__ import annotations

from datetime import timedelta

from tests.support.clock import ManualClock, utc
from tests.support.edge import Fault
from tests.support.edges import MemoryEdge
from tests.support.hdfs import MemoryHdfs
from tests.support.hive import MemoryHive
from upbit_elt.housekeeping.lake import unneeded_in
from upbit_elt.lake import layout
from upbit_elt.lake.backfill_queue import BackfillQueue, make_request
from upbit_elt.lake.lease import lease
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality import results
from upbit_elt.quality.results import MarketResult
from upbit_elt.warehouse.tables import ensure_day

DAY, LATER = "261123", timedelta(hours=25)


def test_old_reconciliations_are_removed_a_day_after_the_next_and_one_bad_day_stops_no_other() -> None:
    clock, settings = ManualClock(utc(3)), MemoryEdge().settings
    server = MemoryHive(MemoryHdfs(clock))
    lake, hive = Lake(server.hdfs.client(), settings.lake_root), server.client(settings)
    odd = server.client(settings, lambda call: Fault.REFUSED if "2026-11-22" in call.target else Fault.NONE)
    folders = {}
    for day in (DAY, "261122"):
        with lease(lake, layout.kind_folder(lake.root, "reconciliation"), clock) as held:
            for name in ("day-1", "day-2", "day-3"):
                row = MarketResult("KRW-BTC", name, 24, 1, 0, 0, 0, "proven", "2026-11-24T00:00:00", "x")
                folders[day] = results.publish(lake, day, [row], name, "proven", held).folder
    old = {day: [f"{folders[day].removesuffix('3')}{number}" for number in (1, 2)] for day in folders}
    for day, folder in folders.items():
        ensure_day(hive, settings, "reconciliation", day, folder)
    later = clock.now() + LATER
    assert unneeded_in(lake, hive, settings, clock.now(), {}) == []
    assert unneeded_in(lake, hive, settings, later, {}) == [*old["261122"], *old[DAY]]
    troubles: dict[str, str] = {}
    assert unneeded_in(lake, odd, settings, later, troubles) == old[DAY]
    assert list(troubles) == ["reconciliation 261122"]


def test_the_file_of_a_cancelled_request_is_removed_once_nobody_can_bring_it_back() -> None:
    clock, edge = ManualClock(utc(3)), MemoryEdge()
    lake, hive = edge.open(edge.settings, clock)
    queue = BackfillQueue(lake)
    request = queue.add(make_request(utc(1, day=20), utc(2, day=20), ["KRW-A"], clock.now(), "a"))
    queue.cancel(request.id)
    cancelled = f"{layout.requests_folder(lake.root)}/{request.id}.cancelled"
    assert unneeded_in(lake, hive, edge.settings, clock.now(), {}) == []
    assert unneeded_in(lake, hive, edge.settings, clock.now() + LATER, {}) == [cancelled]
    lake.create(cancelled.replace(".cancelled", ".json"), b"saved by one who did not know")
    assert unneeded_in(lake, hive, edge.settings, clock.now() + LATER, {}) == []
    assert queue.open() == []
    assert unneeded_in(lake, hive, edge.settings, clock.now() + LATER, {}) == [cancelled]
