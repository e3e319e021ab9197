"""What a live run knows after its requests: the coverage for the footer, and whether the exchange answered at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from upbit_elt.collect.fetch import FetchResult
from upbit_elt.collect.plan import FetchPlan
from upbit_elt.collect.reach import starts_of
from upbit_elt.holes import HoleReason
from upbit_elt.lake.coverage import Coverage, Span


def coverage_after(
    plan: FetchPlan, near: FetchPlan, results: Sequence[FetchResult], left: Sequence[Span], before: Coverage
) -> Coverage:
    """The coverage of a live run: a span for each market that it planned, and the watermarks after it.

    `near` is the part of the plan within the run's reach, `results` are those of its requests, and `left` the spans
    left to the backfill. `before` has the run's end, its rechecks, and the watermark that it began with.
    """
    spans = [*left, *(Span(request.market, request.start, request.end, "quiet") for request in near.inactive)]
    spans += [span for result in results for span in result.spans()]
    watermark = dict(before.watermark) | {request.market: request.end for request in near.inactive}
    starts = starts_of(plan)
    for result in results:
        market, first = result.request.market, result.request.start
        # A failed request leaves its market's watermark where it is, so that the next run requests the span again.
        # Quarantined rows and spans left to the backfill do not hold the watermark back: they become rechecks.
        watermark[market] = starts[market] if result.failure else result.request.end
        if result.failure and starts[market] < first:
            spans.append(Span(market, starts[market], first, "hole", *result.failure))
    start = min((span.start for span in spans), default=before.end)
    return replace(before, start=start, spans=tuple(sorted(spans)), watermark=watermark)


def failed_before(plan: FetchPlan, known: Coverage | None) -> frozenset[str]:
    """Markets of the plan whose requests failed in the run before."""
    if known is None:
        return frozenset()
    holes = {span.market for span in known.holes()}
    return frozenset(
        request.market for request in plan.requests if request.start < known.end and request.market in holes
    )


def outage_of(results: Sequence[FetchResult]) -> str:
    """Why every request failed, "" when one succeeded; failures that concern single markets are no outage."""
    failures = [result.failure for result in results if result.failure]
    trouble = [failure for failure in failures if failure.reason.exchange_out or failure.reason is HoleReason.GARBLED]
    if not trouble or len(failures) < len(results):
        return ""
    reasons = ", ".join(f"{reason} {n}" for reason, n in Counter(f.reason.value for f in failures).most_common())
    return f"none of {len(results)} requests for candles was answered ({reasons}: {trouble[0].detail})"
