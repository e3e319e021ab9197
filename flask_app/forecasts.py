"""Reads stored forecasts from Hive, and keeps the newest in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

import pyarrow as pa

from flask_app.rows import partition_of
from upbit_elt.candle import parse_wire, wire
from upbit_elt.clock import Clock
from upbit_elt.forecast.schema import FORECAST_SCHEMA
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive, Statements
from upbit_elt.warehouse.tables import days, ensure_view, partition

# Usually this service alone stores forecasts; it reads again in case another process has stored one.
LOOK_EVERY = timedelta(minutes=5)
_COLUMNS = ", ".join(FORECAST_SCHEMA.names)


@dataclass(frozen=True)
class Forecast:
    """Forecasts of all markets at one origin (UTC), `issued` at a second (UTC; None: before 0.2.0).

    `rows` maps a market to its rows (keys as in FORECAST_SCHEMA), horizons ascending.
    """

    origin: datetime
    model_version: str
    rows: Mapping[str, list[dict[str, Any]]]
    issued: datetime | None = None

    @property
    def count(self) -> int:
        """Number of rows of all markets."""
        return sum(len(rows) for rows in self.rows.values())

    @property
    def table(self) -> pa.Table:
        """All rows, columns as in FORECAST_SCHEMA."""
        return pa.Table.from_pylist([row for rows in self.rows.values() for row in rows], schema=FORECAST_SCHEMA)


def forecast_of(rows: Iterable[Mapping[str, Any]]) -> Forecast | None:
    """Group rows that share an origin by market; None when there are no rows."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda r: (r["market"], r["horizon"])):
        grouped.setdefault(row["market"], []).append(dict(row))
    if not grouped:
        return None
    first = next(iter(grouped.values()))[0]
    issued = parse_wire(first["issued_utc"]) if first["issued_utc"] else None
    return Forecast(parse_wire(first["origin"]), first["model_version"], grouped, issued)


class Forecasts:
    """Reads stored forecasts. Methods that query Hive raise WarehouseUnavailable or QueryFailed."""

    def __init__(self, settings: Settings, hive: Hive, clock: Clock) -> None:
        self._settings, self._hive, self._clock = settings, hive, clock
        self._lock = Lock()
        self._latest: Forecast | None = None
        self._looked: datetime | None = None
        self._current = False

    @property
    def known(self) -> Forecast | None:
        """The newest forecast in memory; Hive is not queried. None before the first was read or stored."""
        return self._latest

    def latest(self) -> Forecast | None:
        """The stored forecast with the newest origin; None while there is none."""
        with self._lock:
            now = self._clock.now()
            if self._latest is None or self._looked is None or now - self._looked >= LOOK_EVERY:
                self._latest, self._looked = self._read_latest(), now
            return self._latest

    def remember(self, forecast: Forecast) -> None:
        """Keep a forecast that was just stored in memory, if it is the newest."""
        with self._lock:
            if self._latest is None or forecast.origin >= self._latest.origin:
                self._latest, self._looked = forecast, self._clock.now()

    def at(self, origin: datetime, market: str | None = None) -> Forecast | None:
        """The stored forecast of an origin (UTC), for one market or for all; None when there is none.

        The database has to exist; it does once candles were collected.
        """
        with self._hive.session() as session:
            return self._at(session, origin, market)

    def _at(self, session: Statements, origin: datetime, market: str | None = None) -> Forecast | None:
        if not session.query(f"SHOW TABLES IN {self._settings.database} LIKE 'forecast'"):
            return None
        if not self._current:  # the table may be an earlier release's, and lack a column that is selected below
            ensure_view(session, self._settings, "forecast")
            self._current = True
        only = "AND market = %(market)s" if market else ""
        found = session.query(
            f"SELECT {_COLUMNS} FROM {self._table} WHERE dt = %(dt)s AND origin = %(origin)s {only}",  # noqa: S608
            {"dt": partition_of(origin), "origin": wire(origin), **({"market": market} if market else {})},
        )
        return forecast_of(dict(zip(FORECAST_SCHEMA.names, row, strict=True)) for row in found)

    @property
    def _table(self) -> str:
        return f"{self._settings.database}.forecast"

    def _read_latest(self) -> Forecast | None:
        with self._hive.session() as session:
            for day in reversed(days(session, self._settings, "forecast")):
                sql = f"SELECT max(origin) FROM {self._table} WHERE dt = %(dt)s"  # noqa: S608
                ((origin,),) = session.query(sql, {"dt": partition(day)})
                if origin:
                    return self._at(session, parse_wire(origin))
        return None
