"""Whatever happens to the bytes of one file of the lake: the other markets, days and files come through value by value.

What is missing is a named hole or a day that waits with its reason, and the next runs bring it. `PROPERTY_EXAMPLES`
says how many cases are tried (2, and always the same, without it; `./test soak` tries 100).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.clock import utc
from tests.support.hive import MemoryHive
from tests.support.world import MemoryWorld
from upbit_elt.candle import Candle, day_end, day_start
from upbit_elt.errors import LakeCorrupt
from upbit_elt.flows.close_day import Closer
from upbit_elt.lake import ledger
from upbit_elt.lake.lease import Lease
from upbit_elt.quality.coverage_report import accounts_of

EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "2"))
SEEDED = "PROPERTY_EXAMPLES" not in os.environ  # the same cases each time, where a failure stops other people's work
BEFORE, TODAY = "261123", "261124"
BEGAN, NOW = utc(14, 20, day=23), utc(15, 40, 5, day=23)
Harm = Callable[[bytes, bytes], bytes]


def flip(share: float, bit: int) -> Harm:
    def harm(data: bytes, other: bytes) -> bytes:
        place = int(share * len(data))
        return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :] if data else other

    return harm


def cut(share: float) -> Harm:
    return lambda data, other: data[: int(share * len(data))]


def zero(share: float, length: int) -> Harm:
    def harm(data: bytes, other: bytes) -> bytes:
        place = int(share * len(data))
        return data[:place] + bytes(len(data[place : place + length])) + data[place + length :]

    return harm


def replace(data: bytes, other: bytes) -> bytes:
    return other


SHARE = st.floats(0, 1, exclude_max=True)
HARM = st.one_of(
    st.builds(flip, SHARE, st.integers(0, 7)),
    st.builds(cut, SHARE),
    st.builds(zero, SHARE, st.integers(1, 4096)),
    st.just(replace),
)


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> MemoryWorld:
    """A day that waits for its holes, and one with a compacted file and windows."""
    made = MemoryWorld(tmp_path_factory.mktemp("state"), BEGAN, markets=3, history_days=0, first_minutes=10)
    for minute in range(20, 60, 4):
        made.collect(utc(14, minute, 5, day=23))
    for minute in range(0, 40, 2):
        made.collect(utc(15, minute, 5, day=23))
    return made


@pytest.fixture(scope="module", params=["closed", "waiting"])
def built(
    request: pytest.FixtureRequest, collected: MemoryWorld, tmp_path_factory: pytest.TempPathFactory
) -> MemoryWorld:
    """The same, its older day closed and proven or still waiting; a request, and the lease of a writer that died."""
    now = collected.clock.now()
    made = MemoryWorld(tmp_path_factory.mktemp("state"), now, like=collected, history_days=0, first_minutes=10)
    if request.param == "closed":
        made.close_day(BEFORE)
        made.prove([BEFORE])
    made.request(utc(13, day=23), utc(14, day=23))
    made.clock.set(NOW)
    Lease(made.lake, f"{made.lake.root}/candle/{TODAY}/_lease", made.clock).acquire(timedelta(0))
    return made


def close(world: MemoryWorld) -> dict[str, str]:
    """One run of close; what waits, and why."""
    hive = MemoryHive(world.hdfs).client(world.settings)
    done = Closer(world.lake, hive, world.settings, world.clock).run("close")
    return done.waiting | done.troubles


def cycle(world: MemoryWorld, now: datetime) -> dict[str, str]:
    """What runs in ten minutes; what waits after it, and why."""
    world.collect(now)
    known = world.newest
    accounts_of(world.lake, known, BEGAN, known.end)
    waiting = close(world)
    world.prove([BEFORE])
    world.fill_history()
    return waiting


def missing(world: MemoryWorld, end: datetime) -> list[Candle]:
    """Candles of [BEGAN, end) that the lake lacks. What it has must be as the exchange says.

    A closed day that nothing writes any more may stay unreadable: whoever reads it gets an error.
    """
    kept, since = set(world.in_lake(TODAY)), BEGAN
    try:
        kept |= set(world.in_lake(BEFORE))
    except LakeCorrupt:
        snapshot = ledger.current(world.lake, "candle", BEFORE)
        assert snapshot is not None
        assert snapshot.complete
        since = day_end(BEFORE)
    assert kept <= set(world.truth(day_start(BEFORE), day_end(TODAY))), "altered"
    return [candle for candle in world.truth(since, end) if candle not in kept]


@given(data=st.data(), harm=HARM)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=SEEDED,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_damage_to_one_file_costs_nothing_else(
    built: MemoryWorld, tmp_path: Path, data: st.DataObject, harm: Harm
) -> None:
    files = built.hdfs.files()
    names = [name for name in files if "/rejected/" not in name]
    path = data.draw(st.sampled_from(names), "path")
    other = files[data.draw(st.sampled_from(names), "replaced by")]
    world = MemoryWorld(tmp_path, NOW, like=built, history_days=0, first_minutes=10)
    world.hdfs.put(path, harm(files[path], other))
    for minutes in (2, 12, 24, 36):
        waiting = cycle(world, NOW + timedelta(minutes=minutes))
    before, now = ledger.current(world.lake, "candle", TODAY), NOW + timedelta(minutes=38)
    while ledger.current(world.lake, "candle", TODAY) == before:  # until its files are made one: each was read whole
        assert now < NOW + timedelta(minutes=70)
        world.collect(now)
        now += timedelta(minutes=2)
    waiting = cycle(world, now)
    known = world.newest
    lost = missing(world, known.end)
    if not lost:
        return
    report = accounts_of(world.lake, known, BEGAN, known.end)
    named = {one.market: one.holes for one in report.accounts}
    assert all(
        any(hole.start <= candle.start < hole.end for hole in named[candle.market]) or waiting for candle in lost
    ), f"{lost[0]} is missing without a word"
