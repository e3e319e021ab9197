"""What the exchange answers, validated. Unknown fields are no error: Upbit adds some from time to time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from upbit_elt.candle import FIELDS, Candle, parse_wire

Price = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
MinuteUnit = Literal[1, 3, 5, 10, 15, 30, 60, 240]
MINUTE_UNITS: tuple[MinuteUnit, ...] = (1, 3, 5, 10, 15, 30, 60, 240)


class Row(BaseModel):
    """Base of all rows."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Market(Row):
    """A row of /market/all; `market_event` only when details were asked."""

    market: str
    korean_name: str
    english_name: str
    market_event: dict[str, Any] | None = None

    @property
    def quote(self) -> str:
        """Quote currency: KRW of KRW-BTC."""
        return self.market.split("-", 1)[0]


class Ticker(Row):
    """A row of /ticker and /ticker/all; `trade_timestamp` is the last trade in ms since the epoch."""

    market: str
    trade_timestamp: int
    trade_price: Price
    acc_trade_volume_24h: Amount
    acc_trade_price_24h: Amount


class AnyCandle(Row):
    """The fields that candles of every kind have; times without zone as on the wire."""

    market: str
    candle_date_time_utc: str
    candle_date_time_kst: str
    opening_price: Price
    high_price: Price
    low_price: Price
    trade_price: Price
    timestamp: int
    candle_acc_trade_price: Amount
    candle_acc_trade_volume: Amount

    @property
    def start(self) -> datetime:
        """Start of the candle, UTC."""
        return parse_wire(self.candle_date_time_utc)

    @model_validator(mode="after")
    def _consistent(self) -> AnyCandle:
        if parse_wire(self.candle_date_time_kst) - self.start != timedelta(hours=9):
            raise ValueError("candle_date_time_kst is not candle_date_time_utc + 9 h")
        if not self.low_price <= min(self.opening_price, self.trade_price):
            raise ValueError("low_price is above opening_price or trade_price")
        if not self.high_price >= max(self.opening_price, self.trade_price):
            raise ValueError("high_price is below opening_price or trade_price")
        return self


class SecondCandle(AnyCandle):
    """A candle of one second."""


class MinuteCandle(AnyCandle):
    """A candle of `unit` minutes, starting at a multiple of the unit (UTC). `model_extra` are fields new to us."""

    model_config = ConfigDict(frozen=True, extra="allow")

    unit: MinuteUnit

    @model_validator(mode="after")
    def _aligned(self) -> MinuteCandle:
        start = self.start
        if start.second or (start.hour * 60 + start.minute) % self.unit:
            raise ValueError(f"candle_date_time_utc does not start a {self.unit}-minute candle")
        return self

    def to_candle(self) -> Candle:
        """The same as the plain row that the lake stores."""
        return Candle(*(getattr(self, name) for name in FIELDS))


class DayCandle(AnyCandle):
    """A UTC day; `converted_trade_price` only when asked."""

    prev_closing_price: float | None
    change_price: float | None
    change_rate: float | None
    converted_trade_price: float | None = None


class PeriodCandle(AnyCandle):
    """A week, month or year; `first_day_of_period` is `yyyy-MM-dd`."""

    first_day_of_period: str


ANYTHING = TypeAdapter(list[Any])
SECONDS = TypeAdapter(list[SecondCandle])
DAYS = TypeAdapter(list[DayCandle])
PERIODS = TypeAdapter(list[PeriodCandle])
