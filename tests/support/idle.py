"""A deployment in memory, as old as one likes, in which nothing has to be done; and what that costs, counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, cast

from pydantic import SecretStr

from flask_app import create_app
from tests.support.clock import ManualClock, utc
from tests.support.exchange import HandlerAdapter, Reply, headers_at, minute_row, session_on
from tests.support.hdfs import MemoryHdfs
from tests.support.hive import MemoryHive
from upbit_elt.backfill.planner import Backfill
from upbit_elt.backfill.time_budget import TimeBudget
from upbit_elt.candle import MINUTE, SCHEMA, Candle, day_end, day_start, floor_minute, kst_day, parse_wire, to_table
from upbit_elt.collect.collector import Collector
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.limits import AddressLimits
from upbit_elt.flows import min_candle, prove_day
from upbit_elt.flows.close_day import Closed, Closer
from upbit_elt.forecast.artifacts import save_model
from upbit_elt.forecast.features import NAMES
from upbit_elt.forecast.model import QuantileNet
from upbit_elt.forecast.schema import FORECAST_SCHEMA, HORIZONS
from upbit_elt.forecast.train import FORMAT, TrainedModel
from upbit_elt.lake import layout
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.layout import Kind
from upbit_elt.lake.parquet import encode
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality.reconcile import Reconciler
from upbit_elt.settings import Settings
from upbit_elt.warehouse.tables import ensure_day

NOW = utc(3, 0, 5)  # 12:00 KST
MARKETS = ("KRW-A", "KRW-B", "KRW-C")
WANTED_DAYS = 7
TOKEN = "idle"
TWO_MINUTES = timedelta(minutes=2)


class Cost(NamedTuple):
    """WebHDFS operations and Hive sessions of a step."""

    step: str
    operations: int
    sessions: int


class StillExchange:
    """Three markets that traded in each minute of [since, until) and have not since."""

    def __init__(self, clock: ManualClock, since: datetime, until: datetime) -> None:
        self.clock, self.since, self.until = clock, since, until

    def respond(self, path: str, query: dict[str, str]) -> Reply:
        return 200, json.dumps(self._rows(path, query)), headers_at(self.clock.now())

    def _rows(self, path: str, query: dict[str, str]) -> list[dict[str, Any]]:
        if path == "/v1/market/all":
            return [{"market": market, "korean_name": market, "english_name": market} for market in MARKETS]
        if path == "/v1/ticker/all":
            traded = int(self.until.timestamp() * 1000) - 500
            row = {"trade_price": 100.0, "acc_trade_price_24h": 1.0, "acc_trade_volume_24h": 1.0}
            row |= {"trade_timestamp": traded, "timestamp": traded}
            return [{"market": market} | row for market in MARKETS]
        end = parse_wire(query["to"].removesuffix("Z")) if "to" in query else self.clock.now()
        start = min(floor_minute(end), self.until)
        count = min(int(query["count"]), int((start - self.since) / MINUTE))
        return [minute_row(query["market"], start - number * MINUTE) for number in range(1, count + 1)]


class Deployment:
    """`days` KST days of candles, forecasts and reconciliations, the last of them open, after some `rounds`."""

    def __init__(self, days: int, state: Path, rounds: int = 2) -> None:
        self.clock = ManualClock(NOW)
        values = {"base_url": "http://exchange", "history_days": WANTED_DAYS, "flask_token": SecretStr(TOKEN)}
        values |= {"state_dir": state, "webhdfs_url": "http://127.0.0.1:9"}  # nobody listens on port 9
        self.settings = Settings.model_validate(values)
        self.hdfs = MemoryHdfs(self.clock)
        self.server = MemoryHive(self.hdfs)
        self.lake = Lake(self.hdfs.client(), self.settings.lake_root)
        self.hive = self.server.client(self.settings)
        past = [kst_day(NOW - timedelta(days=number)) for number in range(days - 1, 0, -1)]
        began = day_start((past or [kst_day(NOW)])[0])
        exchange = StillExchange(self.clock, began, NOW.replace(second=0) - TWO_MINUTES)
        limits = AddressLimits(state, 1000, self.clock)
        session = session_on(HandlerAdapter(exchange.respond))
        self.client = UpbitClient("http://exchange", limits, self.clock, session=session)
        self._fill(past)
        save_model(self.lake, _model())
        app = create_app(self.settings, hive=self.hive, lake=self.lake, clock=self.clock)
        self._service, self._watch = app.test_client(), app.extensions["upbit_elt"].watch
        for _ in range(rounds):  # the first brings today's candles, and notes what is there
            self.cycle()
            self.ten_minutes()

    def cycle(self) -> list[Cost]:
        """What happens every 2 minutes, step by step."""
        self.clock.set(self.clock.now() + TWO_MINUTES)
        published = {}

        def collect() -> None:
            collected = Collector(self.client, self.lake, self.settings, self.clock).run("idle")
            published.update({item.day: item.folder for item in collected.files})

        return [
            self._counted("min_candle: collect", collect),
            self._counted("min_candle: roll", lambda: self._show(published)),
            self._counted("forecast_candle", self._forecast),
            self._counted("backfill_candle", self._backfill),
        ]

    def ten_minutes(self) -> list[Cost]:
        """What happens every 10 minutes."""
        return [self._counted("close_day", self.close), self._counted("prove_day", self._prove)]

    def watched(self) -> Cost:
        """A look of the service's watch, and a scrape of `/metrics`."""

        def work() -> None:
            self._watch.look()
            assert self._service.get("/metrics").status_code == 200

        return self._counted("watch and scrape", work)

    def close(self) -> Closed:
        """One run of the close."""
        return Closer(self.lake, self.hive, self.settings, self.clock).run("idle")

    def _counted(self, step: str, work: Callable[[], object]) -> Cost:
        before = self.hdfs.operations.total(), self.server.sessions
        work()
        return Cost(step, self.hdfs.operations.total() - before[0], self.server.sessions - before[1])

    def _show(self, published: dict[str, str]) -> None:
        min_candle.register_in(self.hive, self.lake, self.settings, published, published)

    def _forecast(self) -> None:
        response = self._service.post("/api/v1/forecasts", headers={"Authorization": f"Bearer {TOKEN}"})
        assert response.status_code == 200, response.text
        assert response.get_json()["stored"]

    def _backfill(self) -> None:
        def show(day: str) -> None:
            min_candle.register_in(self.hive, self.lake, self.settings, [day])

        time_budget = TimeBudget(self.lake, self.clock, self.clock.now() + timedelta(minutes=1), patient=False)
        backfill = Backfill(self.client, self.lake, self.settings, self.clock, on_published=show)
        backfill.run("idle", time_budget)

    def _prove(self) -> None:
        reconciler = Reconciler(self.client, self.lake, self.settings, self.clock)
        until = self.clock.now() + timedelta(minutes=8)
        prove_day.prove_in(self.hive, reconciler, self.settings, "idle", until)

    def _fill(self, days: list[str]) -> None:
        """Closed and proven days, as a lake holds them and Hive shows them."""
        rows = encode(SCHEMA.empty_table())
        forecasts = encode(FORECAST_SCHEMA.empty_table())
        for day in days:
            recent = day_end(day) > NOW - timedelta(days=WANTED_DAYS + 2)
            self._put("candle", day, "candle.parquet", _candles(day) if recent else rows)
            self._put("forecast", day, "forecast.parquet", forecasts)
            self._put("reconciliation", day, "day-1_proven.parquet", b"")
        with self.hive.session() as session:
            for kind in cast("tuple[Kind, ...]", ("candle", "forecast", "reconciliation")):
                for day in days:
                    folder = layout.complete_folder(self.lake.root, kind, day, 1)
                    ensure_day(session, self.settings, kind, day, folder)

    def _put(self, kind: Kind, day: str, name: str, data: bytes) -> None:
        self.hdfs.put(f"{layout.complete_folder(self.lake.root, kind, day, 1)}/{name}", data)


def _candles(day: str) -> bytes:
    start, end = day_start(day), day_end(day)
    spans = tuple(Span(market, start, end, "asked") for market in MARKETS)
    coverage = Coverage(start, end, "past", spans, dict.fromkeys(MARKETS, end), ())
    rows = (minute_row(market, end - number * MINUTE) for market in MARKETS for number in range(1, 31))
    return encode(to_table(Candle(**row) for row in rows), coverage)


def _model() -> TrainedModel:
    """A network as it is before training: what it says is of no interest here."""
    card = {"version": "20261124T0000Z", "format": FORMAT, "created": "2026-11-24T00:00:00Z", "provisional": False}
    card |= {"data": {"end": "2026-11-24T00:00:00+00:00"}, "horizons": [{"horizon": minutes} for minutes in HORIZONS]}
    return TrainedModel(QuantileNet(len(NAMES)), card, cast("Any", None), cast("Any", None))
