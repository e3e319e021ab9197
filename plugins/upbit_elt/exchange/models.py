"""The rows of the exchange's responses, validated. Unknown fields are no error: Upbit adds some from time to time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from upbit_elt.candle import FIELDS, Candle, parse_wire, wire_kst

OPENING = datetime(2017, 9, 25, tzinfo=UTC)  # the exchange has no trade before


def _or_none(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Validate a value; None when it is invalid: nothing depends on the field, so its row stays valid."""
    try:
        return handler(value)
    except ValidationError:
        return None


Name = Annotated[str | None, WrapValidator(_or_none)]
Details = Annotated[dict[str, Any] | None, WrapValidator(_or_none)]
Code = Annotated[str, Field(pattern=r"^[0-9A-Za-z._]+-[0-9A-Za-z._]+$", max_length=60)]
# A moment in ms since the epoch, after the exchange's opening; so seconds and microseconds are rejected.
Milliseconds = Annotated[int, Field(strict=True, ge=int(OPENING.timestamp()) * 1000, lt=253402300800 * 1000)]
Price = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
MinuteUnit = Literal[1, 3, 5, 10, 15, 30, 60, 240]


class Row(BaseModel):
    """The base of all rows."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Market(Row):
    """A row of /market/all; it has `market_event` only with details, and `korean_name` only in Korea."""

    market: Code
    korean_name: Name = None
    english_name: Name = None
    market_event: Details = None

    @property
    def quote(self) -> str:
        """The quote currency, as KRW of KRW-BTC."""
        return self.market.split("-", 1)[0]


class Ticker(Row):
    """A row of /ticker and /ticker/all; `trade_timestamp` is the last trade in ms since the epoch."""

    market: Code
    trade_timestamp: Milliseconds
    trade_price: Price
    acc_trade_volume_24h: Amount
    acc_trade_price_24h: Amount

    @property
    def traded(self) -> datetime:
        """The moment of the last trade (UTC)."""
        return datetime.fromtimestamp(self.trade_timestamp / 1000, UTC)


class AnyCandle(Row):
    """The fields of candles of every kind; times have no zone, as on the wire.

    Exchanges outside Korea may leave out the KST time, which is then computed from the UTC time.
    """

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
        """The start of the candle (UTC)."""
        return parse_wire(self.candle_date_time_utc)

    @model_validator(mode="before")
    @classmethod
    def _with_kst(cls, row: Any) -> Any:
        if not isinstance(row, dict) or "candle_date_time_kst" in row or "candle_date_time_utc" not in row:
            return row
        try:
            return row | {"candle_date_time_kst": wire_kst(parse_wire(row["candle_date_time_utc"]))}
        except (TypeError, OverflowError):
            raise ValueError("candle_date_time_utc is no time") from None

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
    """A candle of `unit` minutes, starting at a multiple of the unit (UTC). `model_extra` has unknown fields."""

    model_config = ConfigDict(frozen=True, extra="allow")

    unit: MinuteUnit

    @model_validator(mode="after")
    def _aligned(self) -> MinuteCandle:
        start = self.start
        if start.second or (start.hour * 60 + start.minute) % self.unit:
            raise ValueError(f"candle_date_time_utc does not start a {self.unit}-minute candle")
        return self

    def to_candle(self) -> Candle:
        """The candle as the row that the lake stores."""
        return Candle(*(getattr(self, name) for name in FIELDS))


class DayCandle(AnyCandle):
    """A UTC day; it has `converted_trade_price` only on request."""

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
