"""The order of requests, on a clock that waits for nobody; the jobs say what the exchange does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Lock

import pytest

from tests.support.clock import ManualClock, utc
from upbit_elt.clock import Deadline
from upbit_elt.collect.dispatch import FAILURES_UNTIL_DOWN, GRACE, TRIES, Dispatcher
from upbit_elt.errors import BadResponse, Banned, EndpointDown, ExchangeError, OutOfTime, ServerTrouble, Unreachable

Says = Callable[[str, int], ExchangeError | None]


class World:
    """An exchange that `says` what comes of the n-th request (from 1) of a name; a request takes `seconds`."""

    def __init__(self, says: Says = lambda name, number: None, seconds: float = 0.1) -> None:
        self.clock, self.says, self.seconds = ManualClock(utc(3)), says, seconds
        self.sent: list[str] = []
        self.lock = Lock()

    def run(
        self, names: Iterable[str], *, within: float = 1000, suspects: str = "", pages: int = 1, workers: int = 1
    ) -> dict[str, ExchangeError | None]:
        jobs = [MarketJob(name, self, name in suspects.split(), pages) for name in names]
        dispatcher = Dispatcher(self.clock, jobs, workers, Deadline(self.clock, within))
        return {job.name: None if job.done else job.error for job in dispatcher.run(lambda: None)}

    @property
    def took(self) -> float:
        return (self.clock.now() - utc(3)).total_seconds()


@dataclass
class MarketJob:
    name: str
    world: World
    suspect: bool
    pages: int = 1
    error: ExchangeError | None = None
    tries: list[str] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return self.pages == 0

    def step(self) -> None:
        with self.world.lock:
            self.world.sent.append(self.name)
            self.world.clock.sleep(self.world.seconds)
            self.tries.append(self.name)
            self.error = self.world.says(self.name, len(self.tries))
            self.pages -= self.error is None


def names(count: int) -> list[str]:
    return [f"m{number:03}" for number in range(count)]


def silent(*chosen: str) -> Says:
    return lambda name, number: Unreachable("no answer") if name in chosen else None


def test_every_market_is_requested_once_before_one_that_failed_is_tried_again() -> None:
    world = World(silent("m001"))
    ended = world.run(names(5))
    assert world.sent[:5] == names(5)
    assert world.sent[5:] == ["m001"] * (TRIES - 1)
    assert [name for name, error in ended.items() if error] == ["m001"]
    assert isinstance(ended["m001"], Unreachable)


def test_temporary_errors_are_retried_and_permanent_ones_are_not() -> None:
    said: dict[str, list[ExchangeError | None]] = {
        "m000": [ServerTrouble("busy"), Unreachable("gone"), None],
        "m001": [BadResponse("no")],
    }
    world = World(lambda name, number: said.get(name, [None])[number - 1])
    ended = world.run(names(3))
    assert ended["m000"] is None
    assert isinstance(ended["m001"], BadResponse)
    assert world.sent == ["m000", "m001", "m002", "m000", "m000"]


def test_a_market_that_failed_the_last_time_is_requested_last() -> None:
    world = World()
    world.run(names(8), suspects="m000 m003")
    assert world.sent == ["m001", "m002", "m004", "m005", "m006", "m007", "m000", "m003"]


def test_when_most_failed_the_last_time_nobody_is_suspected() -> None:
    world = World()
    world.run(names(8), suspects=" ".join(names(6)))
    assert world.sent == names(8)


def test_the_newest_page_of_all_comes_before_the_second_of_any() -> None:
    world = World()
    world.run(names(3), pages=2)
    assert world.sent == [*names(3), *names(3)]


def test_the_bad_ones_hold_up_the_good_ones_for_the_grace_at_most() -> None:
    bad = names(289)[::14]
    good = World()
    good.run(names(289))
    world = World(lambda name, number: ServerTrouble("busy") if name in bad else None)
    ended = world.run(names(289))
    assert {name for name, error in ended.items() if error} == set(bad)
    assert world.took <= good.took + GRACE + 0.5


def test_an_endpoint_that_answers_no_market_gets_no_more_requests() -> None:
    world = World(lambda name, number: Unreachable("no answer"), seconds=1)
    ended = world.run(names(100))
    requested = set(world.sent)
    assert FAILURES_UNTIL_DOWN < len(world.sent) <= FAILURES_UNTIL_DOWN + GRACE, "and now and then one more"
    assert world.took <= FAILURES_UNTIL_DOWN + GRACE + 1
    assert {name for name, error in ended.items() if isinstance(error, EndpointDown)} == set(names(100)) - requested
    assert all(isinstance(ended[name], Unreachable) for name in requested)


def test_an_endpoint_that_answers_again_gets_the_requests_of_all_markets() -> None:
    back_after = 15.0
    world = World(seconds=1)
    world.says = lambda name, number: Unreachable("no answer") if world.took <= back_after else None
    ended = world.run(names(50))
    assert set(ended.values()) == {None}


def test_neighbours_that_share_their_trouble_do_not_close_the_endpoint() -> None:
    world = World(silent(*names(20)))
    ended = world.run(names(100))
    assert all((error is None) == (name not in names(20)) for name, error in ended.items())
    assert not any(isinstance(error, EndpointDown) for error in ended.values())


def test_when_the_time_is_over_what_came_counts() -> None:
    world = World(seconds=1)
    ended = world.run(names(30), within=10)
    assert [name for name, error in ended.items() if error is None] == names(10)
    assert all(isinstance(ended[name], OutOfTime) for name in names(30)[10:])
    assert world.took == 10


def test_a_ban_is_not_tried_again() -> None:
    world = World(lambda name, number: Banned("blocked", utc(4)))
    assert len(world.run(names(20))) == 20
    assert world.sent == names(20)


def test_a_mistake_of_ours_ends_the_run() -> None:
    def wrong(name: str, number: int) -> ExchangeError | None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        World(wrong).run(names(3))


def test_many_at_once_all_end() -> None:
    world = World(silent("m007"))
    assert len(world.run(names(200), workers=16, pages=3)) == 200
    assert len(world.sent) >= 3 * 199 + 1
