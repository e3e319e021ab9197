"""`/metrics`, for Prometheus: how fresh the data is, and the measurements of all processes of the machine.

A scrape sends no request to HDFS, Hive or the exchange, and so never waits for them: it shows what the service has in
memory (see `watch`) and the sums that tasks have stored (see `upbit_elt.metrics`).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flask_app.daemons import NameNode
from flask_app.services import Services, services
from flask_app.skill import COVERAGE_DAYS
from flask_app.window import Window
from upbit_elt import backups
from upbit_elt.candle import minute_count
from upbit_elt.clock import SystemClock
from upbit_elt.errors import StateUnavailable
from upbit_elt.exchange.limits import AddressLimits
from upbit_elt.lake.coverage import Coverage
from upbit_elt.lake.freshness import MarketFreshness
from upbit_elt.metrics import MetricsFile

log = logging.getLogger(__name__)
blueprint = Blueprint("metrics", __name__)
_PROCESS = CollectorRegistry()
ProcessCollector(registry=_PROCESS)


@blueprint.get("/metrics")
def metrics() -> ResponseReturnValue:
    """All metrics in Prometheus' text format; those that are not known now are absent."""
    registry = CollectorRegistry()
    registry.register(_ServiceCollector(services()))
    body = generate_latest(registry) + generate_latest(_PROCESS)
    return Response(body, content_type=CONTENT_TYPE_LATEST)


class _ServiceCollector(Collector):
    def __init__(self, shared: Services) -> None:
        self._shared = shared

    def describe(self) -> list[Metric]:
        """Declares no metric in advance, because the set depends on what is known at the scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metric families of one scrape."""
        shared, now = self._shared, self._shared.clock.now()
        stale_after = shared.stale_after
        yield _one("upbit_stale_after_seconds", "Age at which a market counts as stale.", stale_after.seconds)
        window = shared.follower.known
        if window:
            yield from _candles(window, now, stale_after)
            yield from _holes(window.coverage)
        yield from _forecasts(shared)
        yield from _coverage(shared)
        yield from _watch(shared)
        yield from _namenode(shared.watch.namenode)
        yield from _machine(shared)


def _candles(window: Window, now: datetime, stale_after: timedelta) -> Iterator[Metric]:
    fresh = window.freshness
    until = GaugeMetricFamily(
        "upbit_candle_known_until_timestamp_seconds",
        "UTC minute up to which half, most (nine tenths) or all listed markets of a quote currency are collected.",
        labels=["quote", "reach"],
    )
    markets = GaugeMetricFamily("upbit_markets", "Markets that were ever collected.", labels=["quote", "state"])
    reasons = GaugeMetricFamily("upbit_stale_markets", "Stale markets by reason.", labels=["quote", "reason"])
    for quote, listed in _by_quote(fresh.markets).items():
        part = replace(fresh, markets=tuple(listed))
        for reach, moment in (("half", part.typical), ("most", part.covered_until), ("all", part.worst)):
            until.add_metric([quote, reach], moment.timestamp())
        stale = part.stale(now, stale_after)
        markets.add_metric([quote, "fresh"], len(listed) - len(stale))
        markets.add_metric([quote, "stale"], len(stale))
        for reason, count in Counter(one.why for one in stale).items():
            reasons.add_metric([quote, reason], count)
    for quote, count in Counter(map(_quote, fresh.gone)).items():
        markets.add_metric([quote, "gone"], count)
    yield from (until, markets, reasons)
    looked = fresh.looked_until.timestamp()
    yield _one("upbit_candle_looked_until_timestamp_seconds", "End of the last live run's span.", looked)


def _holes(coverage: Coverage) -> Iterator[Metric]:
    minutes: Counter[str] = Counter()
    for span in coverage.holes():
        minutes[span.reason.value] += minute_count(span)
    yield _counted("upbit_hole_minutes", "Market-minutes that are holes after the last live run.", "reason", minutes)
    again: Counter[str] = Counter()
    for recheck in coverage.rechecks or ():
        again[recheck.state] += minute_count(recheck)
    yield _counted("upbit_recheck_minutes", "Market-minutes that live runs check again.", "state", again)
    held = {recheck.market for recheck in coverage.rechecks or () if recheck.state == "hole"}
    yield _one("upbit_quarantine_markets", "Markets with a minute whose row is in quarantine or late.", len(held))


def _coverage(shared: Services) -> Iterator[Metric]:
    known = shared.skill.known
    share = GaugeMetricFamily(
        "upbit_forecast_coverage_90",
        f"Share of the prices within the forecasts' 90 % intervals, pooled over {COVERAGE_DAYS} days; absent before.",
    )
    count = GaugeMetricFamily("upbit_forecasts_scored", "Forecasts that this share is of.")
    if known:
        share.add_metric([], known.coverage_90)
        count.add_metric([], known.count)
    yield from (share, count)


def _forecasts(shared: Services) -> Iterator[Metric]:
    forecast = shared.forecasts.known
    if forecast is None:
        return
    origin = GaugeMetricFamily(
        "upbit_forecast_origin_timestamp_seconds", "Origin of the newest forecast, by quote currency.", labels=["quote"]
    )
    count = GaugeMetricFamily("upbit_forecast_markets", "Markets in the newest forecast.", labels=["quote"])
    for quote, markets in Counter(map(_quote, forecast.rows)).items():
        origin.add_metric([quote], forecast.origin.timestamp())
        count.add_metric([quote], markets)
    yield from (origin, count)


def _watch(shared: Services) -> Iterator[Metric]:
    if shared.watch.looked:
        yield _one("upbit_watch_timestamp_seconds", "When the watch checked last.", shared.watch.looked.timestamp())
        up = "Whether HDFS and Hive answered the service's last request."
        yield _one("upbit_services_up", up, 0 if shared.watch.trouble else 1)


def _namenode(found: NameNode | None) -> Iterator[Metric]:
    if found is None:
        return
    yield _one("upbit_hdfs_capacity_bytes", "Capacity of HDFS's DataNodes.", found.capacity)
    yield _one("upbit_hdfs_free_bytes", "Free space on HDFS's DataNodes.", found.free)
    nodes = Counter({"live": found.live, "dead": found.dead})
    yield _counted("upbit_hdfs_datanodes", "DataNodes.", "state", nodes)
    yield _one("upbit_namenode_heap_used_bytes", "Used heap of the NameNode.", found.heap_used)
    yield _one("upbit_namenode_heap_max_bytes", "Maximum heap of the NameNode.", found.heap_max)


def _machine(shared: Services) -> Iterable[Metric]:
    """Metrics from the state folder: sums of all processes, the ban, troubles, and how full the disk is."""
    folder = shared.settings.state_dir
    try:
        sums = MetricsFile(folder).collect()
        ban = AddressLimits(folder, shared.settings.requests_per_second, SystemClock()).ban_left()
        lasting, waiting = shared.troubles.lasting(), shared.troubles.waiting()
        disk = shared.disk(folder)
    except (StateUnavailable, OSError) as error:
        log.warning("%s gives no figures: %s", folder, error)
        return [_one("upbit_state_folder_up", "Whether the state folder can be read and written.", 0)]
    return [
        *sums,
        *_backup(shared),
        _one("upbit_state_folder_up", "Whether the state folder can be read and written.", 1),
        _one("upbit_exchange_ban_seconds", "Seconds until the exchange's ban of this address ends, or 0.", ban),
        _one("upbit_troubles", "Troubles that last now, each of which the webhook is sent once.", len(lasting)),
        _one("upbit_webhook_waiting", "Lines that the webhook has not accepted yet.", waiting),
        _one("upbit_disk_size_bytes", "Size of the disk that the state folder is on.", disk.total),
        _one("upbit_disk_free_bytes", "Free space on the disk that the state folder is on.", disk.free),
    ]


def _backup(shared: Services) -> Iterator[Metric]:
    if shared.settings.backup_folder:
        note = backups.noted(shared.settings.state_dir)
        made = (note.made or note.since).timestamp() if note else 0
        yield _one("upbit_backup_timestamp_seconds", "When the newest daily backup was made, or the first begun.", made)


def _by_quote(markets: Iterable[MarketFreshness]) -> dict[str, list[MarketFreshness]]:
    found: dict[str, list[MarketFreshness]] = {}
    for one in markets:
        found.setdefault(_quote(one.market), []).append(one)
    return found


def _quote(market: str) -> str:
    return market.partition("-")[0]


def _one(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _counted(name: str, words: str, label: str, counts: Counter[str]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=[label])
    for key, count in sorted(counts.items()):
        family.add_metric([key], count)
    return family
