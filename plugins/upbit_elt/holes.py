"""Why minutes are not known: one value a kind, stored in footers and shown in reports."""

from __future__ import annotations

from enum import StrEnum


class HoleReason(StrEnum):
    """Why a span of a market's minutes is a hole. The values are stored in Parquet footers and never change.

    What the exchange did goes beside it as a detail in words; nothing depends on those.
    """

    NONE = ""  # no hole
    # the request failed
    BANNED = "banned"
    RATE_LIMITED = "rate_limited"
    SERVER_TROUBLE = "server_trouble"
    UNREACHABLE = "unreachable"
    GARBLED = "garbled"
    BAD_ANSWER = "bad_answer"
    INVALID_REQUEST = "invalid_request"
    # the request was not sent
    OUT_OF_TIME = "out_of_time"  # the run's deadline came first
    ENDPOINT_DOWN = "endpoint_down"  # the endpoint does not answer anybody
    LEFT_TO_BACKFILL = "left_to_backfill"  # too much for a live run
    NOT_ASKED = "not_asked"
    # the exchange answered, but not for every minute
    QUARANTINED_ROW = "quarantined_row"  # a row came that cannot be right
    LATE_ROW = "late_row"  # the ticker knows of a trade, no row came
    # what was known is gone
    FILE_LOST = "file_lost"
    # the exchange has nothing to give
    BEFORE_COLLECTION = "before_collection"
    NOT_LISTED = "not_listed_yet"
    DELISTED = "delisted"
    VENUE_OUTAGE = "venue_outage"  # the request failed while no market traded
    # nobody wants it
    NOT_COLLECTED = "not_collected"  # live runs do not collect the market, and this was not asked for

    @property
    def exchange_out(self) -> bool:
        """Whether it says that the exchange as a whole gives nothing; else it is the market's own trouble."""
        return self in _EXCHANGE_OUT

    @property
    def failed_request(self) -> bool:
        """Whether a request brought nothing, or was due and could not be sent."""
        return self not in _LABELS

    @property
    def final(self) -> bool:
        """Whether a backfill does not ask again: it would get the same answer."""
        return self in _FINAL

    @property
    def explained(self) -> bool:
        """Whether nothing is missing, as the exchange has nothing to give there, or nobody wants it."""
        return self in _EXPLAINED

    @property
    def label(self) -> str:
        """The words for people, as reports show them."""
        return _LABELS.get(self, "failed request")


_EXCHANGE_OUT = frozenset(
    {
        HoleReason.BANNED,
        HoleReason.RATE_LIMITED,
        HoleReason.SERVER_TROUBLE,
        HoleReason.UNREACHABLE,
        HoleReason.OUT_OF_TIME,
        HoleReason.ENDPOINT_DOWN,
    }
)
_FINAL = frozenset({HoleReason.DELISTED, HoleReason.QUARANTINED_ROW, HoleReason.LATE_ROW})
_EXPLAINED = frozenset(
    {
        HoleReason.BEFORE_COLLECTION,
        HoleReason.NOT_LISTED,
        HoleReason.DELISTED,
        HoleReason.VENUE_OUTAGE,
        HoleReason.NOT_COLLECTED,
    }
)
_LABELS = {
    HoleReason.NONE: "",
    HoleReason.LEFT_TO_BACKFILL: "left to backfill",
    HoleReason.NOT_ASKED: "never asked",
    HoleReason.QUARANTINED_ROW: "refused row",
    HoleReason.LATE_ROW: "late row",
    HoleReason.FILE_LOST: "file lost",
    HoleReason.BEFORE_COLLECTION: "before collection began",
    HoleReason.NOT_LISTED: "not listed yet",
    HoleReason.DELISTED: "delisted",
    HoleReason.VENUE_OUTAGE: "venue outage",
    HoleReason.NOT_COLLECTED: "not collected",
}
