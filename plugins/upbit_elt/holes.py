"""Reasons why minutes are not known: one enum value per reason, stored in footers and shown in reports."""

from __future__ import annotations

from enum import StrEnum


class HoleReason(StrEnum):
    """Why a span of a market's minutes is a hole. The values are stored in Parquet footers and never change.

    What exactly happened is stored beside it as a text, on which no code depends.
    """

    NONE = ""  # no hole
    # the request failed
    BANNED = "banned"
    RATE_LIMITED = "rate_limited"
    SERVER_TROUBLE = "server_trouble"
    UNREACHABLE = "unreachable"
    GARBLED = "garbled"
    BAD_RESPONSE = "bad_answer"
    INVALID_REQUEST = "invalid_request"
    # the request was not sent
    OUT_OF_TIME = "out_of_time"  # the run's deadline came first, or no turn in the rate limit
    ENDPOINT_DOWN = "endpoint_down"  # the endpoint has not answered the requests before
    LEFT_TO_BACKFILL = "left_to_backfill"  # too much for a live run
    NOT_REQUESTED = "not_asked"  # it should have been, and no file says why not
    # the response does not account for the minute
    QUARANTINED_ROW = "quarantined_row"  # the row failed validation
    LATE_ROW = "late_row"  # the ticker says that there was a trade, but there is no row yet
    # a file that had it is gone
    FILE_LOST = "file_lost"
    # the exchange has nothing to give
    BEFORE_COLLECTION = "before_collection"
    NOT_LISTED = "not_listed_yet"
    DELISTED = "delisted"
    VENUE_OUTAGE = "venue_outage"  # the request failed while no market traded
    # not wanted
    NOT_COLLECTED = "not_collected"  # live runs do not collect the market, and no backfill requested the span

    @property
    def exchange_out(self) -> bool:
        """Whether the exchange as a whole gives nothing; otherwise the trouble concerns the market alone."""
        return self in _EXCHANGE_OUT

    @property
    def failed_request(self) -> bool:
        """Whether a request failed, or was due and could not be sent."""
        return self not in _LABELS

    @property
    def skipped_by_backfill(self) -> bool:
        """Whether the backfill skips the hole: of a delisted market nothing comes, and rows are rechecked."""
        return self in _FINAL

    @property
    def explained(self) -> bool:
        """Whether nothing is missing: the exchange has no candles there, or NOT_COLLECTED.

        NOT_REQUESTED, a gap in what should have been requested, is not explained.
        """
        return self in _EXPLAINED

    @property
    def label(self) -> str:
        """The reason in words, as reports show it."""
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
    HoleReason.NOT_REQUESTED: "never requested",
    HoleReason.QUARANTINED_ROW: "quarantined row",
    HoleReason.LATE_ROW: "late row",
    HoleReason.FILE_LOST: "file lost",
    HoleReason.BEFORE_COLLECTION: "before collection began",
    HoleReason.NOT_LISTED: "not listed yet",
    HoleReason.DELISTED: "delisted",
    HoleReason.VENUE_OUTAGE: "venue outage",
    HoleReason.NOT_COLLECTED: "not collected",
}
