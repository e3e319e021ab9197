from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.support.clock import utc
from tests.unit.flask_app.fakes import MemoryLake
from upbit_elt.errors import ConfigError, LakeUnavailable
from upbit_elt.lake.backfill_queue import PASSES, BackfillQueue, Request, make_request, next_pass
from upbit_elt.lake.backfill_queue import from_stored as read
from upbit_elt.lake.backfill_queue import to_stored as written

NOW = utc(3, 30)
START, END = utc(15, day=18), utc(15, day=21)


def test_the_same_span_and_markets_are_the_same_request() -> None:
    one = make_request(START, END, ["KRW-B", "KRW-A"], NOW, "a")
    same = make_request(START, END, ["KRW-A", "KRW-B", "KRW-A"], NOW + timedelta(hours=1), "b")
    assert one.id == same.id
    assert make_request(START, END, ["KRW-A"], NOW, "a").id != one.id
    assert make_request(START, END, [], NOW, "a").id.endswith("-all")


def test_days_run_backwards_from_where_it_is() -> None:
    request = make_request(START, END, [], NOW, "a")
    assert request.days() == ["261121", "261120", "261119"]
    assert replace(request, at=utc(15, day=20)).days() == ["261120", "261119"]
    gone_through = next_pass(request, ["261119"], NOW)
    assert (gone_through.days(), gone_through.done) == (["261119"], None)
    assert next_pass(request, [], NOW).done == NOW


def test_after_some_passes_a_request_ends_with_what_it_has() -> None:
    request = make_request(START, END, [], NOW, "a")
    for _ in range(PASSES):
        assert request.done is None
        request = next_pass(request, ["261119"], NOW)
    assert (request.done, request.left) == (NOW, ("261119",))


def test_a_saved_request_is_read_back_complete() -> None:
    request = make_request(START, END, ["KRW-A"], NOW, "a")
    full = replace(request, left=("261119",), nothing_before={"KRW-A": START}, candles=7, passes=1)
    assert read(written(full)) == full


@pytest.mark.parametrize(
    ("start", "end"), [(END, START), (NOW, NOW), (NOW + timedelta(days=1), NOW + timedelta(days=2))]
)
def test_a_span_without_a_closed_minute_is_refused(start: object, end: object) -> None:
    with pytest.raises(ConfigError, match="must lie before"):
        make_request(start, end, [], NOW, "a")  # type: ignore[arg-type]


FOLDER = "/candle/_backfill/requests"


class Chores(MemoryLake):
    """A lake in which something happens between the writing of a file of this name and its rename into place."""

    name, chore = "", staticmethod(lambda: None)

    def create(self, path: str, data: bytes) -> None:
        super().create(path, data)
        if self.name and self.name in path:
            self.name, chore = "", self.chore
            chore()


def queued(queue: BackfillQueue, *markets: str, by: str = "a", minutes: int = 0) -> Request:
    return queue.add(make_request(START, END, markets, NOW + timedelta(minutes=minutes), by))


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe\x00",
        b"null",
        b"[1]",
        b"{}",
        b'{"version": 0}',
        b"[" * 100_000,
        b'{"version": 1, "id": "x"}',
        lambda data: data[:-20],
        lambda data: data.replace(b'"markets": [\n  "KRW-B"\n ]', b'"markets": "KRW-B"'),
        lambda data: data.replace(b"2026-11-18T15:00:00Z", b"1600-11-18T15:00:00Z"),
        lambda data: data.replace(b"2026-11-21T15:00:00Z", b"2026-11-21T15:00:00"),
        lambda data: data.replace(b'"left": []', b'"left": ["269999"]'),
        lambda data: data.replace(b'"nothing_before": {}', b'"nothing_before": []'),
        lambda data: data.replace(b'"id": "', b'"id": "../../'),
    ],
)
def test_a_request_that_cannot_be_read_is_renamed_and_the_others_go_on(damage: object) -> None:
    lake = MemoryLake()
    queue = BackfillQueue(lake)
    first, bad, last = (queued(queue, f"KRW-{name}", minutes=i) for i, name in enumerate("ABC"))
    path = f"{FOLDER}/{bad.id}.json"
    spoilt = damage(lake.files[path]) if callable(damage) else damage
    assert spoilt != lake.files[path]
    lake.files[path] = spoilt  # type: ignore[assignment]

    assert queue.open() == [first, last]
    (renamed,) = queue.unreadable()
    assert (renamed.startswith(path), lake.files[renamed]) == (True, spoilt)
    assert queue.all() == [first, last]
    again = queued(queue, "KRW-B", by="b", minutes=3)
    assert queue.open() == [first, last, again]
    assert queue.unreadable() == [renamed], "it is kept"


def test_a_request_is_stored_under_the_names_that_the_release_before_reads() -> None:
    lake = MemoryLake()
    queue = BackfillQueue(lake)
    mine = queued(queue, "KRW-A")
    row = json.loads(lake.files[f"{FOLDER}/{mine.id}.json"])
    assert "requested" not in row
    assert datetime.fromisoformat(row["asked"]) == mine.requested


def test_a_request_of_a_newer_release_is_left_alone() -> None:
    lake = MemoryLake()
    queue = BackfillQueue(lake)
    mine = queued(queue, "KRW-A")
    lake.files[f"{FOLDER}/new.json"] = b'{"version": 2, "plan": []}'
    assert (queue.open(), queue.unreadable()) == ([mine], [])
    assert f"{FOLDER}/new.json" in lake.files


class LostBlock(MemoryLake):
    """A lake in which one file is listed and cannot be read."""

    lost = ""

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        if self.lost and self.lost in path:
            raise LakeUnavailable(f"{path}: could not obtain block")
        return super().read(path, offset, length)


def test_a_lost_block_of_one_request_costs_that_one_alone() -> None:
    lake = LostBlock()
    queue = BackfillQueue(lake)
    lost, other = queued(queue, "KRW-A"), queued(queue, "KRW-B", minutes=1)
    lake.lost = lost.id
    assert queue.open() == [other]
    lake.lost = ""
    assert queue.open() == [lost, other]
    lake.up = False
    with pytest.raises(LakeUnavailable):
        queue.open()


def test_a_request_that_is_done_is_not_listed_as_open() -> None:
    lake = MemoryLake()
    queue = BackfillQueue(lake)
    request = queued(queue, "KRW-A")
    done = next_pass(request, [], NOW)
    assert queue.save(done)
    assert (queue.open(), queue.all(), queue.find(request.id)) == ([], [done], done)
    assert [entry.name for entry in lake.list(FOLDER)] == ["done"]
    # as older lakes have it
    older = replace(queued(queue, "KRW-B"), done=NOW)
    lake.files[f"{FOLDER}/{older.id}.json"] = written(older)
    assert (queue.open(), queue.all()) == ([], [done, older])
    assert [entry.name for entry in lake.list(FOLDER)] == ["done"]


def test_a_retried_run_makes_one_request_even_if_it_is_done_or_cancelled() -> None:
    queue = BackfillQueue(MemoryLake())
    request = queued(queue, "KRW-A", by="manual__1")
    assert queued(queue, "KRW-A", by="manual__1") == request
    done = next_pass(request, [], NOW)
    queue.save(done)
    assert queued(queue, "KRW-A", by="manual__1") == done
    assert queue.open() == []
    anew = queued(queue, "KRW-A", by="manual__2", minutes=9)
    assert queue.open() == [anew]
    queue.cancel(anew.id)
    queued(queue, "KRW-A", by="manual__2", minutes=9)
    assert queue.open() == []
    assert queued(queue, "KRW-A", by="manual__3", minutes=10) == queue.open()[0]


def test_a_request_that_is_cancelled_does_not_come_back_by_who_saves_it() -> None:
    lake = MemoryLake()
    queue = BackfillQueue(lake)
    request = queued(queue, "KRW-A")
    worked_on = replace(request, at=utc(15, day=20), candles=7)
    assert queue.save(worked_on)
    assert str(queue.cancel(request.id)).startswith(f"cancelled {request.id}")
    for state in (worked_on, next_pass(worked_on, [], NOW)):
        assert not queue.save(state)
        assert (queue.open(), queue.all(), queue.find(request.id)) == ([], [], None)


@pytest.mark.parametrize("finishes", [False, True])
def test_a_request_that_is_cancelled_in_mid_save_does_not_come_back(finishes: bool) -> None:
    lake = Chores()
    queue = BackfillQueue(lake)
    request = queued(queue, "KRW-A")
    state = next_pass(request, [], NOW) if finishes else replace(request, candles=7)
    # after the other process has seen that the request is there, before it has replaced it
    lake.name, lake.chore = f"{request.id}.json", lambda: queue.cancel(request.id)  # type: ignore[assignment]
    assert not queue.save(state)
    assert (queue.open(), queue.all()) == ([], [])


def test_a_save_that_died_before_it_looked_again_brings_nothing_back() -> None:
    lake = MemoryLake()
    queue = BackfillQueue(lake)
    request = queued(queue, "KRW-A")
    queue.cancel(request.id)
    lake.files[f"{FOLDER}/{request.id}.json"] = written(replace(request, candles=7))
    assert (queue.open(), queue.all()) == ([], [])
    assert f"{FOLDER}/{request.id}.json" not in lake.files


def test_a_late_save_does_not_replace_a_request_that_was_made_again() -> None:
    queue = BackfillQueue(MemoryLake())
    old = queued(queue, "KRW-A", by="one")
    queue.cancel(old.id)
    anew = queued(queue, "KRW-A", by="two", minutes=5)
    assert not queue.save(next_pass(old, [], NOW))
    assert queue.open() == [anew]


def test_a_cancel_of_what_is_cancelled_says_so() -> None:
    lake = MemoryLake()
    queue = BackfillQueue(lake)
    request = queued(queue, "KRW-A")
    queue.cancel(request.id)
    assert str(queue.cancel(request.id)) == f"{request.id} was cancelled before; what it brought in stays"
    # the first try may have died right after the first of its steps
    lake.files[f"{FOLDER}/{request.id}.json"] = written(request)
    assert "was cancelled before" in str(queue.cancel(request.id))
    assert (queue.open(), sorted(lake.files)) == ([], [f"{FOLDER}/{request.id}.cancelled"])


@pytest.mark.parametrize("text", ["nope", "", "../champion", "x" * 400, "a/b", "ㄱ"])
def test_a_cancel_of_what_never_was_names_what_is_open(text: str) -> None:
    queue = BackfillQueue(MemoryLake())
    request = queued(queue, "KRW-A")
    with pytest.raises(ConfigError, match=f"there is no request .*open are: {request.id}"):
        queue.cancel(text)


def test_a_request_that_failed_waits_behind_the_others() -> None:
    queue = BackfillQueue(MemoryLake())
    one, two, three = (queued(queue, f"KRW-{name}", minutes=i) for i, name in enumerate("ABC"))
    queue.save(replace(one, trouble="LakeCorrupt: x", troubled=NOW + timedelta(hours=1)))
    assert [r.id for r in queue.open()] == [two.id, three.id, one.id]
    queue.save(replace(two, trouble="LakeCorrupt: x", troubled=NOW + timedelta(minutes=30)))
    assert [r.id for r in queue.open()] == [three.id, two.id, one.id]
    assert "its last run failed: LakeCorrupt: x" in str(queue.open()[-1])
