"""One live run: it fetches every minute that has closed since the lake's watermark and publishes it day by day.

Its steps: listing.py (markets, tickers, the minute closed last), plan.py and reach.py (what to request), fetch.py,
recheck.py (earlier minutes), run_coverage.py (what is known then), publish_days.py, collected.py (the outcome).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from upbit_elt.candle import MINUTE
from upbit_elt.clock import Clock, Deadline
from upbit_elt.collect import recheck
from upbit_elt.collect.collected import Collected, collected_of
from upbit_elt.collect.fetch import Budget, fetch
from upbit_elt.collect.listing import Listing
from upbit_elt.collect.plan import FetchPlan, make_plan
from upbit_elt.collect.publish_days import DayPublisher
from upbit_elt.collect.reach import beyond_reach, requests_for, still_waiting, within_reach
from upbit_elt.collect.run_coverage import coverage_after, failed_before, outage_of
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.backfill_queue import BackfillQueue, request_lost_files
from upbit_elt.lake.coverage import Coverage, Recheck, Span
from upbit_elt.lake.lease import Lease, lease
from upbit_elt.lake.quarantine import quarantine
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings

log = logging.getLogger(__name__)

# Seconds a run may fetch, counted from its start, so that it publishes well before the next run. The wait for the lease
# of a dead run counts too; SHORTEST is what remains to fetch in any case.
FETCH_SECONDS, SHORTEST = 60.0, 20.0
# How long a run waits for the lease of all candles: its holder may have died on another machine.
WAIT = timedelta(seconds=60)


class LakeState(NamedTuple):
    """What the lake knew before a run: watermark by market, rechecks, end (UTC) of the coverage, unreadable paths."""

    watermark: dict[str, datetime]
    rechecks: tuple[Recheck, ...]
    end: datetime
    unreadable: frozenset[str]

    @classmethod
    def of(cls, known: Coverage | None, end: datetime, queue: BackfillQueue, unreadable: frozenset[str]) -> LakeState:
        """The state by the newest live file's coverage; an empty lake (None) ends at `end` (UTC).

        `unreadable` are paths of newer files that cannot be read.
        """
        if known is None:
            return cls({}, (), end, unreadable)
        return cls(dict(known.watermark), still_waiting(known.rechecks or (), queue), known.end, unreadable)


class Collector:
    """Collects live candles into one lake. Which minutes are closed is decided by the exchange's clock alone."""

    def __init__(self, client: UpbitClient, lake: Lake, settings: Settings, clock: Clock) -> None:
        self._client, self._lake, self._settings, self._clock = client, lake, settings, clock
        self._listing = Listing(client, settings.quotes, clock)
        self._days = DayPublisher(lake, clock)

    def run(self, run_id: str) -> Collected:
        """Bring the lake up to the last closed minute, as far as the exchange answers in time.

        A span whose request failed is published as a hole with its reason, and the next run requests it again. A span
        that lies too long ago for a live run is left to the backfill: this run adds a backfill request for it.

        Raises:
            ExchangeError: the exchange answered nothing, or its clock cannot be trusted; nothing was published.
            LeaseHeld: another writer holds the lease.
            LakeError: nothing was published, or only the older day of a window across midnight.
        """
        started = Deadline(self._clock, FETCH_SECONDS)
        with lease(self._lake, layout.kind_folder(self._lake.root, "candle"), self._clock, WAIT) as held:
            deadline = Deadline(self._clock, max(started.left, SHORTEST))
            live_file = ledger.find_live_file(self._lake)
            known = live_file.coverage if live_file else None
            lost = live_file.unreadable if live_file else ()
            markets, listed = self._listing.markets(known)
            tickers, end = self._listing.settled_tickers(needed=not listed)
            first = end - self._settings.first_minutes * MINUTE
            first = min(first, known.end) if known else first
            state = LakeState.of(known, end, BackfillQueue(self._lake), frozenset(item.file.path for item in lost))
            plan = make_plan(markets, tickers, state.watermark, end, first, recheck.reread_since(state.rechecks))
            budget = Budget(deadline, last=failed_before(plan, known), allow_partial=True)
            collected = self._collect(plan, markets, end, state, budget, run_id, held)
            rescued = self._days.rescue(lost, collected.files, run_id)
            request_lost_files(self._lake, [*rescued, *collected.files], self._clock.now(), run_id)
        log.info("%s", collected)
        return collected

    def _collect(
        self,
        plan: FetchPlan,
        markets: Sequence[str],
        end: datetime,
        state: LakeState,
        budget: Budget,
        run_id: str,
        held: Lease,
    ) -> Collected:
        near, rechecked = within_reach(plan, end), recheck.due_requests(state.rechecks, markets, state.end, end)
        # Both are fetched together; the rechecks' results are separated by their requests afterwards.
        requests, workers = [*near.requests, *rechecked], self._settings.workers
        fetched = list(fetch(self._client, requests, workers=workers, tick=held.renew, budget=budget))
        self._listing.check_clock(end)
        quarantined = [row for result in fetched for row in result.quarantined]
        recheck_results = [result.arrived_part() for result in fetched if result.request in rechecked]
        results = [result.arrived_part() for result in fetched if result.request not in rechecked]
        resolved = recheck.resolved(state.rechecks, recheck_results, end)
        left = beyond_reach(plan, [*near.inactive, *(result.request for result in results if not result.failure)])
        rechecks = recheck.after(state.rechecks, near, results, resolved, end, left)
        coverage = coverage_after(plan, near, results, left, Coverage(end, end, run_id, (), state.watermark, rechecks))
        self._queue_backfill(left, run_id)
        quarantine(self._lake, quarantined, run_id)
        before = [candle for result in results for candle in result.before]
        before += [candle for result in recheck_results for candle in result.candles]
        files, repaired = self._days.publish(results, before, resolved, coverage, state.unreadable, held)
        return collected_of(
            coverage,
            results,
            markets=len(markets),
            requested=len(requests),
            inactive=len(near.inactive),
            repaired=repaired,
            quarantined=len(quarantined),
            files=files,
            outage=outage_of([*results, *recheck_results]),
        )

    def _queue_backfill(self, left: Sequence[Span], run_id: str) -> None:
        """Add backfill requests for the spans left to the backfill. A run that is retried adds none twice."""
        queue = BackfillQueue(self._lake)
        for wanted in requests_for(left, self._clock.now(), run_id):
            log.warning("left to the backfill: %s", queue.add(wanted))
