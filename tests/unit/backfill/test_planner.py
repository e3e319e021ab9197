"""History beside live runs, in memory: markets that are not collected, and what goes wrong at one day or request."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.clock import utc
from tests.support.edge import Call, Fault
from tests.support.exchange import Reply, headers_at
from tests.support.world import FINE, MemoryWorld, refusing
from tests.unit.flask_app.fakes import FileHive, MemoryLake
from upbit_elt.backfill.planner import Backfill
from upbit_elt.backfill.time_budget import TimeBudget
from upbit_elt.errors import NotCollected
from upbit_elt.flows.close_day import Closed, Closer
from upbit_elt.holes import HoleReason
from upbit_elt.lake import completeness, layout
from upbit_elt.lake.coverage import Coverage, Span, merge
from upbit_elt.lake.lease import Lease
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality.coverage_report import accounts_of
from upbit_elt.quality.explain import explain
from upbit_elt.replica import truth

NOW = utc(3, 30, 5)  # 12:30 KST of the 24th
TODAY, YESTERDAY = "261124", "261123"
OTHER = "BTC-XRP"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> MemoryWorld:
    made = MemoryWorld(tmp_path_factory.mktemp("state"), NOW, markets=3, listed=("KRW", "BTC"), history_days=0)
    made.collect()
    made.client.close()
    return made


@pytest.fixture
def world(built: MemoryWorld, tmp_path: Path) -> Iterator[MemoryWorld]:
    made = MemoryWorld(tmp_path, NOW, like=built, history_days=0)
    yield made
    made.client.close()


def close(world: MemoryWorld) -> Closed:
    hive = FileHive(MemoryLake(), world.settings.database)
    return Closer(world.lake, hive, world.settings, world.clock).run("close")


def test_the_history_of_a_market_that_is_not_collected_comes_and_leaves_the_live_runs_alone(
    world: MemoryWorld,
) -> None:
    before = world.newest
    done = world.work_off(world.request(utc(15, day=22), NOW, OTHER))
    assert done is not None
    assert done.done
    wanted = truth(world.source, OTHER, utc(15, day=22), utc(3, 30))
    assert wanted
    assert [c for day in (YESTERDAY, TODAY) for c in world.in_lake(day) if c.market == OTHER] == wanted
    assert world.newest.end == before.end
    assert world.newest.watermark == before.watermark
    assert completeness.listed(world.newest) == set(world.collected)

    world.clock.set(utc(3, 31, 5))
    again = world.work_off(world.request(utc(3), utc(3, 31), OTHER))
    assert again is not None
    assert again.done, "a minute that live runs have not reached is left out while they go on"
    after = world.collect(utc(3, 32, 5))
    assert after.start == before.end
    mine = [c for c in world.in_lake(TODAY) if c.market != OTHER]
    assert [c for c in mine if c.start >= before.end] == world.truth(before.end, after.end)
    assert world.fill_history().left == ()
    assert [c for c in world.in_lake(TODAY) if c.market != OTHER] == world.truth(utc(15, day=23), after.end)


def test_a_backfill_reaches_now_when_live_runs_have_stopped_and_they_go_on_where_they_were(world: MemoryWorld) -> None:
    before = world.newest
    world.clock.set(utc(9, 0, 5))
    world.work_off(world.request(utc(2), utc(9), OTHER))
    assert [c for c in world.in_lake(TODAY) if c.market == OTHER] == truth(world.source, OTHER, utc(2), utc(9))
    assert world.newest.end == before.end
    after = world.collect(utc(9, 4, 5))
    assert (after.start, after.end) == (before.end, utc(9, 4))
    mine = [c for c in world.in_lake(TODAY) if c.market != OTHER]
    assert mine == world.truth(mine[0].start.replace(second=0), after.end)
    assert len(world.in_lake(TODAY)) == len({(c.market, c.start) for c in world.in_lake(TODAY)})


def test_a_day_that_waits_for_its_holes_waits_on_beside_a_market_that_is_not_collected(tmp_path: Path) -> None:
    world = MemoryWorld(tmp_path, utc(14, 50, 5), markets=3, listed=("KRW", "BTC"), history_days=0)
    world.collect()
    world.fill_history()
    bad = world.collected[0]
    world.wire.spoil = refusing(world, bad)
    world.collect(utc(15, 0, 5))
    world.collect(utc(15, 2, 5))
    world.wire.spoil = FINE
    world.clock.set(utc(15, 3, 5))
    world.work_off(world.request(utc(14), utc(15, 3), OTHER))
    waiting = close(world)
    assert (waiting.made, waiting.holes, list(waiting.waiting)) == ([], [], [f"candle {TODAY}"])
    assert bad in waiting.waiting[f"candle {TODAY}"]
    world.collect(utc(15, 4, 5))
    assert [published.day for published in close(world).made] == [TODAY]
    assert [c for c in world.in_lake(TODAY) if c.market != OTHER] == world.truth(utc(15, day=23), utc(15))


def test_the_watermark_of_live_runs_ends_where_they_end_whatever_is_merged_with_it() -> None:
    spans = tuple(Span(market, utc(1), utc(2), "asked") for market in ("KRW-A", "KRW-B"))
    window = Coverage(utc(1), utc(2), "live", spans, {"KRW-A": utc(2), "KRW-B": utc(2)})
    more = Coverage(utc(1), utc(3), "history", (Span("BTC-X", utc(1), utc(3), "asked"),))
    for parts in ([window, more], [more, window]):
        found = Coverage.from_json(merge(parts, "both").to_json())
        assert (found.end, found.live_until) == (utc(3), utc(2))
        assert (found.live().end, found.live().spans) == (utc(2), spans)
        assert completeness.listed(found.live()) == {"KRW-A", "KRW-B"}
        assert found.clipped(utc(1), utc(1, 30)).live_until == utc(1, 30)
    later = Coverage(utc(2), utc(4), "live", (Span("KRW-A", utc(2), utc(4), "asked"),), {"KRW-A": utc(4)})
    assert merge([window, more, later], "all").live_until == utc(4)
    assert more.live_until is None
    assert merge([more], "one").live_until is None
    assert completeness.listed(merge([window, later], "two").live()) == {"KRW-A"}, "KRW-B has left"


def damaged(world: MemoryWorld, day: str) -> bytes:
    """Make the day's file unreadable; the bytes of before."""
    path = world.file(day)
    before = world.hdfs.files()[path]
    world.hdfs.put(path, before[:-9] + b"not Parquet")
    return before


def test_a_day_that_cannot_be_written_stops_no_other_day_and_no_other_request(tmp_path: Path) -> None:
    world = MemoryWorld(tmp_path, NOW, markets=2, history_days=3)
    world.collect()
    one = world.request(utc(15, day=19), utc(15, day=21))
    world.clock.sleep(60)
    two = world.request(utc(15, day=18), utc(15, day=19))

    def refused(call: Call) -> Fault:
        return Fault.REFUSED if call.name == "CREATE" and "/candle/261121/" in call.target else Fault.NONE

    lake = Lake(world.hdfs.client(refused), world.lake.root)
    history = Backfill(world.client, lake, world.settings, world.clock)

    def time_budget() -> TimeBudget:
        return TimeBudget(lake, world.clock, world.clock.now() + timedelta(hours=1), patient=True)

    first = history.run("history", time_budget())
    assert first.left == ("261121",)
    assert list(first.troubles) == ["261121"]
    assert "/candle/261121/" in first.troubles["261121"]
    assert [published.day for published in first.published] == ["261124", "261123", "261122", "261120", "261119"]
    (still,) = first.requests
    assert (still.id, still.left, still.done) == (one.id, ("261121",), None)
    assert "its last run failed: 261121: LakeUnavailable" in str(still)
    done = next(request for request in history.queue.all() if request.id == two.id)
    assert done.done

    for _ in range(4):
        assert history.run("history", time_budget()).requests[0].left == ("261121",), "it is not given up"
    assert history.work("history", still, time_budget()) is not None, "the command ends as well"
    last = world.fill_history()
    assert (last.left, last.requests, last.troubles) == ((), (), {})
    assert world.in_lake("261121") == world.truth(utc(15, day=20), utc(15, day=21))


def test_a_request_that_fails_whatever_it_does_starves_none_behind_it(world: MemoryWorld) -> None:
    bad = world.request(utc(15, day=22), NOW, OTHER)
    world.clock.sleep(60)
    good = world.request(utc(15, day=22), NOW, world.collected[0])

    def hang(path: str, query: dict[str, str]) -> Reply | None:
        return (500, "oops", headers_at(world.clock.now())) if query.get("market") == OTHER else None

    world.wire.spoil = hang
    world.history().run(
        "history", TimeBudget(world.lake, world.clock, world.clock.now() + timedelta(hours=2), patient=False)
    )
    still = world.history().queue.open()
    assert [request.id for request in still] == [bad.id]
    assert "server_trouble" in still[0].trouble
    assert good.id not in {request.id for request in still}
    later = world.request(utc(15, day=21), utc(15, day=22), world.collected[0])
    assert [request.id for request in world.history().queue.open()] == [later.id, bad.id], "it waits behind the others"


def test_a_day_that_somebody_else_writes_comes_later(world: MemoryWorld) -> None:
    request = world.request(utc(15, day=22), NOW, world.collected[0])
    folder = layout.day_folder(world.lake.root, "candle", YESTERDAY)
    elsewhere = Lease(world.lake, f"{folder}/_lease", world.clock)
    elsewhere.acquire(timedelta(0))

    def renewed(call: Call) -> Fault:
        if f"{folder}/_lease" in call.target:
            elsewhere.renew()
        return Fault.NONE

    lake = Lake(world.hdfs.client(renewed), world.lake.root)
    time_budget = TimeBudget(lake, world.clock, world.clock.now() + timedelta(hours=1), patient=True)
    stopped = Backfill(world.client, lake, world.settings, world.clock).work("history", request, time_budget)
    assert stopped is not None
    assert (stopped.left, stopped.done) == ((YESTERDAY,), None)
    assert "held by another writer" in stopped.trouble
    elsewhere.release()
    done = world.work_off(stopped)
    assert done is not None
    assert done.done
    assert {c.market for c in world.in_lake(YESTERDAY)} == {world.collected[0]}


def test_gaps_reports_a_market_that_is_not_collected(world: MemoryWorld) -> None:
    world.work_off(world.request(utc(1), utc(3), OTHER))
    known = world.newest
    (one,) = accounts_of(world.lake, known, utc(0), utc(3, 30), [OTHER]).accounts
    traded = len(truth(world.source, OTHER, utc(1), utc(3)))
    assert (one.candles, one.empty, one.known) == (traded, 120 - traded, True)
    assert {(hole.reason, hole.start, hole.end) for hole in one.holes} >= {
        (HoleReason.NOT_COLLECTED, utc(3), utc(3, 30)),
    }
    assert one.missing(explained=False) == 0
    assert OTHER not in {found.market for found in accounts_of(world.lake, known, utc(0), utc(3, 30)).accounts}
    (none,) = accounts_of(world.lake, known, utc(0), utc(3, 30), ["BTC-NOPE"]).accounts
    assert not none.known

    chain = explain(world.lake, OTHER, utc(2), world.clock.now())
    assert (chain.watermark, len(chain.evidence)) == (None, 1)
    assert chain.state in ("candle", "empty (asked)")
    assert explain(world.lake, OTHER, utc(3, 20), world.clock.now()).state == "hole: not collected"
    with pytest.raises(NotCollected, match=r"BTC-XRR: not collected here .* none of its history of 261124"):
        explain(world.lake, "BTC-XRR", utc(2), world.clock.now())


def test_a_market_that_is_not_collected_is_reconciled_where_it_is_known(tmp_path: Path) -> None:
    world = MemoryWorld(tmp_path, utc(15, 10, 5), markets=2, listed=("KRW", "BTC"), history_days=0, first_minutes=20)
    world.collect()
    world.work_off(world.request(utc(2), utc(5, 30), OTHER))
    world.close_day(TODAY)
    before = world.in_lake(TODAY)
    (reconciled,) = world.prove([TODAY])
    row = next(row for row in reconciled.rows if row.market == OTHER)
    assert (reconciled.verdict, row.hours, row.state) == ("proven", 3, "proven")
    assert row.proven_hours(TODAY) == [utc(2), utc(3), utc(4)]
    after = [c for c in world.in_lake(TODAY) if c.market == OTHER]
    assert after == [c for c in before if c.market == OTHER], "no more of it is fetched than was requested"


def test_an_unreadable_file_is_a_hole_of_its_day_and_the_rest_is_reported(tmp_path: Path) -> None:
    world = MemoryWorld(tmp_path, NOW, markets=2, history_days=1)
    world.collect()
    world.fill_history()
    path = world.file(YESTERDAY)
    damaged(world, YESTERDAY)
    found = accounts_of(world.lake, world.newest, utc(15, day=22), utc(3, 30))
    for one in found.accounts:
        (hole,) = one.holes
        assert (hole.reason, hole.start, hole.end) == (HoleReason.FILE_LOST, utc(15, day=22), utc(15, day=23))
        assert path in hole.detail
        assert one.known
    chain = explain(world.lake, world.collected[0], utc(16, day=22), world.clock.now())
    assert chain.state.startswith("hole: file lost")
    assert path in chain.state
