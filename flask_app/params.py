"""Query parameters, validated by pydantic; a misspelled or repeated name is an error and never ignored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from werkzeug.datastructures import MultiDict

from flask_app.problems import BAD_PARAMETER, Problem
from flask_app.skill import MOST_DAYS

MAX_COUNT = 1440
EARLIEST, LATEST = datetime(2017, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)  # Upbit opened in 2017
Q = TypeVar("Q", bound="Query")


def _moment(value: object) -> object:
    """Convert an ISO 8601 text to a UTC datetime. Without a zone it is UTC; an empty text means not given (None)."""
    if not isinstance(value, str):
        return value
    if not value:
        return None
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{value!r} is no date. Write ISO 8601, such as 2026-11-24T09:00:00Z or 2026-11-24T18:00:00%2B09:00 "
            "(a plus sign must be sent as %2B); without a zone it is UTC"
        ) from None
    if not EARLIEST <= moment < LATEST:
        raise ValueError(f"{value!r} is out of range: from {EARLIEST.year} to {LATEST.year}")
    return moment


Moment = Annotated[datetime | None, BeforeValidator(_moment)]
Market = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(str.upper)]


class Query(BaseModel):
    """Base class of the parameter sets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def of(cls: type[Q], arguments: MultiDict[str, str]) -> Q:
        """Validate a request's parameters. Raises Problem or pydantic's ValidationError; both become status 400."""
        unknown = sorted(set(arguments) - {field.alias or name for name, field in cls.model_fields.items()})
        if unknown:
            allowed = ", ".join(field.alias or name for name, field in cls.model_fields.items())
            raise Problem(BAD_PARAMETER, f"{', '.join(unknown)}: no such parameter; there is {allowed}")
        if repeated := [name for name, values in arguments.lists() if len(values) > 1]:
            raise Problem(BAD_PARAMETER, f"{', '.join(repeated)}: given more than once")
        return cls.model_validate(arguments.to_dict())


class CandleQuery(Query):
    """Candles of a market whose start lies in [from, to); the newest `count` of them."""

    market: Market
    start: Moment = Field(None, alias="from")
    end: Moment = Field(None, alias="to")
    count: int = Field(200, ge=1, le=MAX_COUNT)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start and self.end and self.start >= self.end:
            raise ValueError("`from` must be before `to`")
        return self


class ForecastQuery(Query):
    """The forecast of a market made at `origin`; without it, the newest."""

    market: Market
    origin: Moment = None


class DaysQuery(Query):
    """How many KST days the calendar goes back, today included."""

    count: int = Field(35, ge=1, le=366)


class SkillQuery(Query):
    """How many KST days of scores are pooled, today included."""

    days: int = Field(7, ge=1, le=MOST_DAYS)


class ExtractQuery(Query):
    """How many whole KST days before today the extract holds; today so far is always in it."""

    days: int = Field(1, ge=0, le=7)
