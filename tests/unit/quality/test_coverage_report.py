"""Every minute of every market is a candle, empty, or a hole with its reason."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import pytest

from tests.support.clock import utc
from tests.support.exchange import minute_row
from tests.unit.flask_app.fakes import MemoryLake
from upbit_elt.candle import MINUTE, Candle, kst_day, to_table
from upbit_elt.errors import NotCollected
from upbit_elt.holes import HoleReason
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.coverage import Coverage, Span, State
from upbit_elt.lake.parquet import encode
from upbit_elt.quality import results
from upbit_elt.quality.coverage_report import Account, Accounts, accounts_of
from upbit_elt.quality.explain import explain

# 12:00 KST of the 24th.
NOON = utc(3)


class WindowLake:
    """A lake in memory, written window by window."""

    def __init__(self) -> None:
        self.lake = MemoryLake()
        self._watermark: dict[str, datetime] = {}

    def window(self, start: datetime, end: datetime, spans: Iterable[Span], candles: Iterable[Candle] = ()) -> str:
        spans = tuple(spans)
        for span in spans:
            self._watermark[span.market] = span.end if span.state != "hole" else span.start
        coverage = Coverage(start, end, f"run {start:%H:%M}", spans, dict(self._watermark))
        folder = layout.live_folder("", "candle", kst_day(start), 1)
        path = f"{folder}/{layout.window_name(start, end)}"
        self.lake.publish(path, encode(to_table(candles), coverage))
        return path

    def ledger(self, start: datetime, end: datetime, *markets: str) -> Accounts:
        known = ledger.live_coverage(self.lake)
        assert known is not None
        return accounts_of(self.lake, known, start, end, markets)

    def account(self, market: str, start: datetime, end: datetime) -> Account:
        (found,) = self.ledger(start, end, market).accounts
        return found


def span(
    market: str,
    start: datetime,
    end: datetime,
    state: State = "asked",
    reason: HoleReason = HoleReason.NONE,
    detail: str = "",
) -> Span:
    return Span(market, start, end, state, reason, detail)


def candle(market: str, moment: datetime) -> Candle:
    return Candle(**minute_row(market, moment))


def holes(found: Account) -> list[tuple[str, str, str]]:
    return [(f"{hole.start:%H:%M}", f"{hole.end:%H:%M}", hole.reason.label) for hole in found.holes]


@pytest.fixture
def windows() -> WindowLake:
    """A: requested from 03:00 to 04:00. B: inactive, then a failed request. C: listed at 03:30. D: gone since 03:20."""
    windows = WindowLake()
    a, b, c, d = "KRW-A", "KRW-B", "KRW-C", "KRW-D"
    first, second, third = (utc(3), utc(3, 20)), (utc(3, 20), utc(3, 30)), (utc(3, 30), utc(4))
    windows.window(*first, [span(a, *first), span(b, *first, "quiet"), span(d, *first)], [candle(a, utc(3, 5))])
    windows.window(*second, [span(a, *second), span(b, *second, "hole", HoleReason.SERVER_TROUBLE, "500")])
    windows.window(
        *third,
        [span(a, *third), span(b, utc(3, 20), utc(4), "hole", HoleReason.SERVER_TROUBLE, "503"), span(c, *third)],
        [candle(a, utc(3, 59)), candle(c, utc(3, 30))],
    )
    return windows


def test_every_minute_is_counted_once(windows: WindowLake) -> None:
    found = windows.ledger(utc(3), utc(4))
    assert [one.market for one in found.accounts] == ["KRW-A", "KRW-B", "KRW-C", "KRW-D"]
    for one in found.accounts:
        assert one.candles + one.inactive + one.empty + one.proven + sum(hole.minutes for hole in one.holes) == 60
    a, b, c, _ = found.accounts
    assert (a.candles, a.empty, a.holes) == (2, 58, [])
    assert (b.inactive, b.missing(explained=False)) == (20, 40)
    assert (c.candles, c.empty) == (1, 29)


def test_a_hole_has_its_reason_and_only_some_are_explained(windows: WindowLake) -> None:
    found = windows.ledger(utc(3), utc(4))
    _, b, c, d = found.accounts
    assert {(hole.reason, hole.detail) for hole in b.holes} == {(HoleReason.SERVER_TROUBLE, "503")}
    assert {hole.words for hole in b.holes} == {"failed request (server_trouble: 503)"}
    assert holes(c) == [("03:00", "03:30", "not listed yet")]
    assert holes(d) == [("03:20", "04:00", "delisted")]
    assert [one.missing(explained=False) for one in found.accounts] == [0, 40, 0, 0]
    assert found.unexplained() == 40


def test_a_market_that_the_exchange_rejects_for_good_is_delisted(windows: WindowLake) -> None:
    window = (utc(4), utc(4, 10))
    quarantined = span("KRW-B", utc(3, 20), utc(4, 10), "hole", HoleReason.DELISTED, "404 Code not found")
    windows.window(*window, [span("KRW-A", *window), span("KRW-C", *window), quarantined])
    assert holes(windows.account("KRW-B", utc(4), utc(4, 10))) == [("04:00", "04:10", "delisted")]
    assert windows.ledger(utc(4), utc(4, 10)).unexplained() == 0


def test_minutes_before_the_listing_that_a_backfill_found_are_not_empty(windows: WindowLake) -> None:
    window = (utc(4), utc(4, 10))
    windows.window(*window, [span("KRW-A", *window), span("KRW-C", *window, "asked", HoleReason.NOT_LISTED)])
    assert holes(windows.account("KRW-C", *window)) == [("04:00", "04:10", "not listed yet")]


def test_a_hole_that_was_filled_later_is_none(windows: WindowLake) -> None:
    windows.window(utc(3, 19), utc(4, 2), [span("KRW-B", utc(3, 20), utc(4, 2))], [candle("KRW-B", utc(3, 40))])
    filled = windows.account("KRW-B", utc(3), utc(4))
    assert (filled.holes, filled.candles, filled.empty) == ([], 1, 39)


def test_a_removed_file_is_seen(windows: WindowLake) -> None:
    windows.lake.delete("/candle/261124/live-1/202611240320_202611240330.parquet")
    assert holes(windows.account("KRW-A", utc(3), utc(4))) == [("03:20", "03:30", "never requested")]
    assert windows.ledger(utc(3), utc(4), "KRW-A").unexplained() == 10


def test_before_the_first_file_there_was_no_collection(windows: WindowLake) -> None:
    found = windows.account("KRW-A", utc(0), utc(3, 10))
    assert holes(found) == [("00:00", "03:00", "before collection began")]
    assert found.missing(explained=True) == 180
    years = windows.account("KRW-A", datetime.fromisoformat("2017-01-01T00:00Z"), utc(3, 10))
    assert years.holes[0].reason is HoleReason.BEFORE_COLLECTION


def test_a_pause_of_all_markets_is_an_outage_and_explains_a_failed_request_in_it() -> None:
    windows = WindowLake()
    markets = [f"KRW-{number:02}" for number in range(30)]
    whole, bad = (utc(3), utc(4)), "KRW-07"
    spans = [
        span(m, *whole) if m != bad else span(m, *whole, "hole", HoleReason.SERVER_TROUBLE, "500") for m in markets
    ]
    rows = [candle("KRW-00", utc(3, m)) for m in range(60) if not 20 <= m < 40 and m != 50]
    windows.window(*whole, spans, rows)
    found = windows.ledger(utc(3), utc(4))
    assert found.outages == [(utc(3, 20), utc(3, 40))]
    assert holes(found.accounts[7]) == [
        ("03:00", "03:20", "failed request"),
        ("03:20", "03:40", "venue outage"),
        ("03:40", "04:00", "failed request"),
    ]
    assert found.unexplained() == 40


def test_the_day_is_crossed_without_a_seam() -> None:
    windows = WindowLake()
    for start, end in ((utc(14, 50), utc(15)), (utc(15), utc(15, 10))):
        windows.window(
            start, end, [span("KRW-A", start, end), span("KRW-B", start, end, "hole", HoleReason.UNREACHABLE, "x")]
        )
    found = windows.account("KRW-B", utc(14, 50), utc(15, 10))
    assert holes(found) == [("14:50", "15:10", "failed request")]
    assert windows.account("KRW-A", utc(14, 50), utc(15, 10)).empty == 20


def test_reconciliation_makes_empty_minutes_proven_but_not_those_of_a_discrepancy() -> None:
    windows = WindowLake()
    day, start, end = "261123", utc(15, day=22), utc(15, day=23)
    coverage = Coverage(start, end, "close", (span("KRW-A", start, end, "quiet"),), {"KRW-A": end})
    rows = [candle("KRW-A", start + 5 * MINUTE)]
    windows.lake.publish(f"/candle/{day}/day-1/candle.parquet", encode(to_table(rows), coverage))
    windows.window(end, end + MINUTE, [span("KRW-A", end, end + MINUTE)])
    detail = '[{"hour": "2026-11-22T16:00:00", "field": "high_price", "ours": 1, "exchange": 2}]'
    row = results.MarketResult("KRW-A", "day-1", 24, 1, 1, 0, 1, "finding", "2026-11-23T16:00:00", "d", detail)
    path = f"/reconciliation/{day}/day-1/day-1_findings.parquet"
    windows.lake.publish(path, encode(results.to_table([row])))
    found = windows.account("KRW-A", start, end)
    assert (found.candles, found.proven, found.inactive, found.holes) == (1, 1440 - 60 - 1, 60, [])


def test_explain_gives_the_evidence_of_a_minute(windows: WindowLake) -> None:
    chain = explain(windows.lake, "KRW-A", utc(3, 5), utc(5))
    assert chain.state == "candle"
    assert [(e.run, e.span and e.span.state, len(e.candles)) for e in chain.evidence] == [("run 03:00", "asked", 1)]
    assert (chain.first, chain.watermark, chain.covered_until) == (utc(3), utc(4), utc(4))
    assert (chain.day_state, chain.market_result) == ("open", None)
    assert explain(windows.lake, "KRW-A", utc(3, 6), utc(5)).state == "empty (asked)"
    assert explain(windows.lake, "KRW-B", utc(3, 6), utc(5)).state == "empty (quiet)"
    assert explain(windows.lake, "KRW-B", utc(3, 40), utc(5)).state == "hole: failed request (server_trouble: 503)"
    assert explain(windows.lake, "KRW-C", utc(3, 1), utc(5)).state == "hole: not listed yet"
    assert explain(windows.lake, "KRW-D", utc(3, 40), utc(5)).state == "hole: delisted"


@pytest.mark.parametrize(
    ("market", "minute", "words"),
    [
        ("KRW-AA", utc(3), "KRW-AA: not collected here .* did you mean KRW-A"),
        ("KRW-A", utc(6), "in the future"),
        ("KRW-A", utc(4), "not collected yet: the lake reaches until 2026-11-24 13:00 KST"),
        ("KRW-A", utc(2, 59), "before collection began: .* 2026-11-24 12:00 KST"),
    ],
)
def test_explain_says_why_there_is_no_evidence(windows: WindowLake, market: str, minute: datetime, words: str) -> None:
    with pytest.raises(NotCollected, match=words):
        explain(windows.lake, market, minute, utc(5))


def test_an_empty_lake_says_so() -> None:
    with pytest.raises(NotCollected, match="empty"):
        explain(MemoryLake(), "KRW-A", utc(3), utc(5))
