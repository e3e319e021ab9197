"""Candles, holes and forecasts as pandas DataFrames, for notebooks and research.

    from upbit_elt.reader import MarketData

    data = MarketData.of_deployment()        # HDFS as the settings name it: in `./run exec python`, or in a container
    data = MarketData.of_folder("copy")      # a copy of the lake's folders; needs no service
    data.candles("KRW-BTC", "2026-11-24", "2026-11-25", every_minute=True)

Times that are passed are aware datetimes, or ISO 8601 texts, which are KST unless they name a zone
(`2026-11-24T00:00Z`). Times in results are UTC. A span is half-open, [start, end), in whole minutes, and is cut at the
end of the last live run.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from upbit_elt.candle import KST, MINUTE, days_between, floor_minute
from upbit_elt.errors import ConfigError, NotCollected
from upbit_elt.forecast.schema import FORECAST, QUANTILE_COLUMNS
from upbit_elt.lake import ledger
from upbit_elt.lake.coverage import Coverage
from upbit_elt.lake.folder import FolderLake
from upbit_elt.lake.read import latest, read_sources
from upbit_elt.lake.snapshot import read_files
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality.coverage_report import Account, accounts_of
from upbit_elt.settings import settings

Time = datetime | str
# The exchange's names, and those that research knows.
PRICES = {
    "opening_price": "open",
    "high_price": "high",
    "low_price": "low",
    "trade_price": "close",
    "candle_acc_trade_volume": "volume",
    "candle_acc_trade_price": "value",
}


class MarketData:
    """The candles, forecasts and coverage of one lake. Each call reads the lake; nothing is cached or written."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    @classmethod
    def of_deployment(cls) -> MarketData:
        """Read the lake that the settings name. Raises ConfigError when a setting is wrong."""
        return cls(Lake.from_settings(settings()))

    @classmethod
    def of_folder(cls, folder: str | Path) -> MarketData:
        """Read a copy of the lake in a local folder that contains `candle/`. Raises ConfigError when it does not."""
        return cls(FolderLake(Path(folder)))

    def markets(self) -> list[str]:
        """Codes of the markets that live runs collect or collected, sorted. Raises NotCollected when there are none."""
        return sorted(self._coverage().watermark)

    def candles(self, market: str, start: Time, end: Time | None = None, *, every_minute: bool = False) -> pd.DataFrame:
        """Minute candles of a market, indexed by `time` (UTC, the minute's start): open, high, low, close in the quote
        currency, volume in the base currency, value (the sum traded) in the quote currency.

        A minute without a candle has no row, **whether it is empty or a hole**. With `every_minute` it has one without
        prices, and the column `state` says of each minute whether it is a `candle`, `empty` (the exchange had no trade)
        or a `hole` (not known); `reason` says why it is a hole. Without `end` the span reaches up to the end of the
        last live run.

        Raises:
            NotCollected: the lake is empty, or does not know the market.
            ConfigError: a time cannot be parsed, or the span is empty.
            LakeUnavailable, LakeCorrupt: HDFS does not answer, or a file cannot be read.
        """
        span = self._span(start, end)
        account = self._account(market, span)
        tables = [table for day in span.days() for table in read_sources(self._lake, day, span.start, span.end)[0]]
        found = _prices(latest([_of_market(table, market) for table in tables]))
        return _with_states(found, account, span) if every_minute else found

    def holes(self, market: str, start: Time, end: Time | None = None) -> pd.DataFrame:
        """Holes of a market, one per row: `start` and `end` (UTC), `minutes`, `reason` (a HoleReason value), `words`
        (the reason as a text), and `explained` (whether the exchange has no candles there).

        Raises the same errors as `candles`.
        """
        rows = [
            (hole.start, hole.end, hole.minutes, hole.reason.value, hole.words, hole.explained)
            for hole in self._account(market, self._span(start, end)).holes
        ]
        return pd.DataFrame(rows, columns=["start", "end", "minutes", "reason", "words", "explained"])

    def forecasts(
        self, market: str, start: Time, end: Time | None = None, *, horizon: int | None = None
    ) -> pd.DataFrame:
        """Stored forecasts of a market with an origin in [start, end), sorted by `origin` and `horizon` (minutes).

        Without `end` the newest is the last.

        `origin` (UTC) is the end of the last minute that the forecast used, `target` (UTC) the moment that it is for,
        `issued_utc` when it was stored (NaT: before release 0.2.0, which did not say);
        `q05` to `q95` are quantiles of the last price at the target. With `horizon` only forecasts of that horizon are
        returned. The table is empty when there is none.

        Raises:
            NotCollected: the lake is empty.
            ConfigError, LakeUnavailable, LakeCorrupt: as for `candles`.
        """
        span = self._span(start, end, beyond=MINUTE)  # the newest origin is the end of the newest minute
        tables = [source.table for day in span.days() for source in read_files(self._lake, FORECAST, day)]
        found = latest([_of_market(table, market) for table in tables], FORECAST).to_pandas()
        for name in ("origin", "target", "issued_utc"):
            found[name] = pd.to_datetime(found[name], utc=True)
        inside = (found["origin"] >= span.start) & (found["origin"] < span.end)
        chosen = found[inside if horizon is None else inside & (found["horizon"] == horizon)]
        numbers = [*QUANTILE_COLUMNS, "expected_volume", "volatility"]
        columns = ["origin", "target", "horizon", *numbers, "model_version", "issued_utc"]
        return chosen[columns].sort_values(["origin", "horizon"], ignore_index=True)

    def _coverage(self) -> Coverage:
        known = ledger.live_coverage(self._lake)
        if known is None:
            raise NotCollected(
                f"nothing is collected in {self._lake.root}: start collecting, or set UPBIT_ELT_DATASET to what is"
            )
        return known

    def _account(self, market: str, span: _Span) -> Account:
        known = self._coverage()
        (account,) = accounts_of(self._lake, known, span.start, span.end, [market]).accounts
        if market not in known.watermark and not account.known:
            raise NotCollected(f"{market}: the lake has nothing of it there; MarketData.markets() lists what there is")
        return account

    def _span(self, start: Time, end: Time | None, beyond: timedelta = timedelta(0)) -> _Span:
        covered = self._coverage().end
        first, last = _moment(start), covered + beyond if end is None else min(_moment(end), covered + beyond)
        if first >= last:
            until = "now" if end is None else end
            raise ConfigError(f"nothing lies between {start} and {until}; the lake reaches until {covered.isoformat()}")
        return _Span(first, last)


class _Span(NamedTuple):
    start: datetime
    end: datetime

    def days(self) -> list[str]:
        """The KST days (`yyMMdd`) that the span touches."""
        return list(days_between(self.start, self.end))


def _moment(time: Time) -> datetime:
    try:
        moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    except ValueError as error:
        raise ConfigError(f"{time!r} is no time; write 2026-11-24T09:30 (KST) or 2026-11-24T00:30Z") from error
    return floor_minute(moment if moment.tzinfo else moment.replace(tzinfo=KST))


def _of_market(table: pa.Table, market: str) -> pa.Table:
    return table.filter(pc.field("market") == market)


def _prices(table: pa.Table) -> pd.DataFrame:
    found = table.select(["candle_date_time_utc", *PRICES]).to_pandas()
    found["time"] = pd.to_datetime(found.pop("candle_date_time_utc"), utc=True)
    return found.rename(columns=PRICES).set_index("time")


def _with_states(found: pd.DataFrame, account: Account, span: _Span) -> pd.DataFrame:
    minutes = pd.date_range(span.start, span.end, freq="min", inclusive="left", name="time", unit="ns")
    full = found.reindex(minutes.astype(found.index.dtype) if len(found) else minutes)
    full["state"], full["reason"] = "empty", ""
    for hole in account.holes:
        inside = (full.index >= hole.start) & (full.index < hole.end)
        full.loc[inside, ["state", "reason"]] = ["hole", hole.reason.value]
    full.loc[full["close"].notna(), ["state", "reason"]] = ["candle", ""]
    return full
