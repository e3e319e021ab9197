from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from upbit_elt.candle import MINUTE
from upbit_elt.holes import HoleReason
from upbit_elt.lake.coverage import Coverage, Recheck, Span, merge
from upbit_elt.lake.freshness import Freshness, MarketFreshness

NOON = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
LIMIT = timedelta(minutes=5)


def run(minute: int, known: dict[str, int], failed: dict[str, int] | None = None, detail: str = "") -> Coverage:
    """Footer of a run that looked until `minute` past noon: markets known up to it, and failed ones, since when."""
    end = NOON + minute * MINUTE
    spans = [Span(name, NOON + since * MINUTE, end, "asked") for name, since in known.items() if since < minute]
    watermark = dict.fromkeys(known, end)
    for name, since in (failed or {}).items():
        spans.append(Span(name, NOON + since * MINUTE, end, "hole", HoleReason.UNREACHABLE, detail))
        watermark[name] = NOON + since * MINUTE
    return Coverage(min((s.start for s in spans), default=end), end, "run", tuple(sorted(spans)), watermark)


def test_a_run_that_brought_nothing_moves_nothing_on() -> None:
    fresh = Freshness.of(run(10, {}, {"A": 0, "B": 0}))
    assert fresh.looked_until == NOON + 10 * MINUTE
    assert fresh.covered_until == fresh.typical == fresh.worst == NOON
    assert fresh.markets[0] == MarketFreshness("A", NOON, HoleReason.UNREACHABLE)
    assert fresh.known_at(NOON + 10 * MINUTE) == frozenset()


def test_a_few_bad_markets_do_not_hold_the_lake_back() -> None:
    good = {f"M{number:02}": 8 for number in range(18)}
    fresh = Freshness.of(run(10, good, {"X": 0, "Y": 4}))
    assert fresh.covered_until == NOON + 10 * MINUTE, "18 of 20 are nine tenths"
    assert fresh.worst == NOON
    assert [one.market for one in fresh.behind(fresh.covered_until)] == ["X", "Y"]
    fresh = Freshness.of(run(10, good, {"X": 0, "Y": 4, "Z": 6}))
    assert fresh.covered_until == NOON + 6 * MINUTE, "18 of 21 are not; with the third they are"
    assert fresh.typical == NOON + 10 * MINUTE


def test_markets_that_left_are_not_stale_but_gone() -> None:
    before = run(10, {"A": 0, "LEFT": 0})
    after = run(20, {"A": 10})
    later = Coverage(after.start, after.end, "run", after.spans, {**before.watermark, **after.watermark})
    for newest in (later, merge([before, later], "roll-up")):
        fresh = Freshness.of(newest)
        assert [one.market for one in fresh.markets] == ["A"]
        assert fresh.gone == {"LEFT"}
        assert fresh.stale(NOON + 21 * MINUTE, LIMIT) == []


def test_the_state_survives_a_merge_of_files() -> None:
    first = run(10, {"A": 0, "B": 0})
    second = run(20, {"A": 10}, {"B": 10})
    assert Freshness.of(merge([first, second], "roll-up")) == Freshness.of(second)


def test_a_market_that_was_not_due_is_as_fresh_as_the_run() -> None:
    fresh = Freshness.of(run(10, {"A": 10, "B": 8}))
    assert [one.until for one in fresh.markets] == [NOON + 10 * MINUTE] * 2


def test_without_a_new_run_everything_grows_stale() -> None:
    fresh = Freshness.of(run(10, {"A": 0, "B": 0}))
    assert fresh.words(NOON + 15 * MINUTE, LIMIT) is None
    assert fresh.words(NOON + 22 * MINUTE, LIMIT) == (
        "all 2 markets are stale, known only until 2026-11-24T03:10Z, 12 min ago (not_asked 2)"
    )


def test_the_words_name_count_age_and_reason() -> None:
    fresh = Freshness.of(run(10, {"A": 8}, {"B": 0, "C": 2}, "no answer in time"))
    assert fresh.words(NOON + 11 * MINUTE, LIMIT) == (
        "2 of 3 markets are stale, known only until 2026-11-24T03:00Z, 11 min ago (unreachable 2: no answer in time)"
    )


def test_a_lake_whose_markets_all_left_is_as_far_as_it_looked() -> None:
    fresh = Freshness.of(Coverage(NOON, NOON + MINUTE, "run", (), {"A": NOON - MINUTE}))
    assert (fresh.covered_until, fresh.markets) == (NOON + MINUTE, ())
    assert fresh.words(NOON + timedelta(hours=1), LIMIT) is None


def test_a_market_with_a_recent_hole_before_its_watermark_is_torn() -> None:
    found, end = NOON, NOON + 60 * MINUTE
    rechecks = (
        Recheck("A", NOON + 20 * MINUTE, NOON + 21 * MINUTE, "hole", found),
        Recheck("B", NOON + 30 * MINUTE, NOON + 31 * MINUTE, "hole", found),
        Recheck("B", NOON + 40 * MINUTE, NOON + 41 * MINUTE, "hole", found),
        Recheck("C", NOON, NOON + 35 * MINUTE, "left", found),
        Recheck("D", NOON + 40 * MINUTE, end, "quiet", found),
        Recheck("E", NOON + 40 * MINUTE, end, "hole", found),
    )
    live = replace(run(60, dict.fromkeys("ABCD", 58), {"E": 58}), rechecks=rechecks)
    fresh = Freshness.of(live)
    words = "a row is in quarantine or late, and is fetched again"
    assert fresh.torn(end, 30 * MINUTE) == [
        MarketFreshness("B", NOON + 30 * MINUTE, HoleReason.LATE_ROW, words),
        MarketFreshness("C", NOON, HoleReason.LEFT_TO_BACKFILL),
    ]
    assert [one.market for one in fresh.torn(end, 60 * MINUTE)] == ["A", "B", "C"]
    assert [one.market for one in fresh.torn(end - 40 * MINUTE, 10 * MINUTE)] == ["C"]
