"""Forecasts as Hive holds them; the newest one stays in memory."""

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
from upbit_elt.warehouse.tables import days, partition

# This service is the only one that stores forecasts; looking again is for what another process may have stored.
LOOK_EVERY = timedelta(minutes=5)
_COLUMNS = ", ".join(FORECAST_SCHEMA.names)


@dataclass(frozen=True)
class Forecast:
    """One origin (UTC) of all markets: the rows (keys as in FORECAST_SCHEMA) of each market, horizons ascending."""

    origin: datetime
    model_version: str
    rows: Mapping[str, list[dict[str, Any]]]

    @property
    def count(self) -> int:
        """Rows of all markets."""
        return sum(len(rows) for rows in self.rows.values())

    @property
    def table(self) -> pa.Table:
        """All rows, columns as in FORECAST_SCHEMA."""
        return pa.Table.from_pylist([row for rows in self.rows.values() for row in rows], schema=FORECAST_SCHEMA)


def forecast_of(rows: Iterable[Mapping[str, Any]]) -> Forecast | None:
    """Forecast of rows that share an origin; None when there are none."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda r: (r["market"], r["horizon"])):
        grouped.setdefault(row["market"], []).append(dict(row))
    if not grouped:
        return None
    first = next(iter(grouped.values()))[0]
    return Forecast(parse_wire(first["origin"]), first["model_version"], grouped)


class Forecasts:
    """Reads stored forecasts. Every method raises WarehouseUnavailable or QueryFailed when Hive does not do it."""

    def __init__(self, settings: Settings, hive: Hive, clock: Clock) -> None:
        self._settings, self._hive, self._clock = settings, hive, clock
        self._lock = Lock()
        self._newest: Forecast | None = None
        self._looked: datetime | None = None

    @property
    def known(self) -> Forecast | None:
        """The newest forecast that is known here; nothing is asked."""
        return self._newest

    def newest(self) -> Forecast | None:
        """The stored forecast with the newest origin; None while there is none."""
        with self._lock:
            now = self._clock.now()
            if self._newest is None or self._looked is None or now - self._looked >= LOOK_EVERY:
                self._newest, self._looked = self._read_newest(), now
            return self._newest

    def remember(self, forecast: Forecast) -> None:
        """Take over a forecast that was stored just now."""
        with self._lock:
            if self._newest is None or forecast.origin >= self._newest.origin:
                self._newest, self._looked = forecast, self._clock.now()

    def at(self, origin: datetime, market: str | None = None) -> Forecast | None:
        """The stored forecast of an origin (UTC), of one market or of all; None when there is none.

        The database must be there, as it is once candles were collected.
        """
        with self._hive.session() as session:
            return self._at(session, origin, market)

    def _at(self, session: Statements, origin: datetime, market: str | None = None) -> Forecast | None:
        if not session.query(f"SHOW TABLES IN {self._settings.database} LIKE 'forecast'"):
            return None
        only = "AND market = %(market)s" if market else ""
        found = session.query(
            f"SELECT {_COLUMNS} FROM {self._table} WHERE dt = %(dt)s AND origin = %(origin)s {only}",  # noqa: S608
            {"dt": partition_of(origin), "origin": wire(origin), **({"market": market} if market else {})},
        )
        return forecast_of(dict(zip(FORECAST_SCHEMA.names, row, strict=True)) for row in found)

    @property
    def _table(self) -> str:
        return f"{self._settings.database}.forecast"

    def _read_newest(self) -> Forecast | None:
        with self._hive.session() as session:
            for day in reversed(days(session, self._settings, "forecast")):
                sql = f"SELECT max(origin) FROM {self._table} WHERE dt = %(dt)s"  # noqa: S608
                ((origin,),) = session.query(sql, {"dt": partition(day)})
                if origin:
                    return self._at(session, parse_wire(origin))
        return None
