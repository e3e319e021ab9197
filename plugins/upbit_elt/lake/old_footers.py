"""Translates footers of version 1, in which reasons were sentences, into today's form."""

from __future__ import annotations

from typing import Any

from upbit_elt.holes import HoleReason

_NOT_LISTED = "not listed yet"
# The beginning of a sentence, and the reason that it stands for.
_BEGINNINGS = {
    "banned until": HoleReason.BANNED,
    "RateLimited": HoleReason.RATE_LIMITED,
    "ServerTrouble": HoleReason.SERVER_TROUBLE,
    "Unreachable": HoleReason.UNREACHABLE,
    "Garbled": HoleReason.GARBLED,
    "BadAnswer": HoleReason.BAD_RESPONSE,
    "InvalidRequest": HoleReason.INVALID_REQUEST,
    "UnknownMarket": HoleReason.DELISTED,
    "refused row": HoleReason.QUARANTINED_ROW,
    "late row": HoleReason.LATE_ROW,
}


def span_row(row: list[Any]) -> tuple[Any, ...]:
    """A row of version 1 (start, end, state, sentence, markets) with reason and detail instead of the sentence."""
    start, end, state, sentence, positions = row
    return start, end, state, *_reason(state, sentence), positions


def _reason(state: str, sentence: str) -> tuple[HoleReason, str]:
    if state != "hole":
        return (HoleReason.NOT_LISTED, "") if sentence == _NOT_LISTED else (HoleReason.NONE, sentence)
    for beginning, reason in _BEGINNINGS.items():
        if sentence.startswith(beginning):
            return reason, sentence.removeprefix(f"{beginning}: ")
    return HoleReason.BAD_RESPONSE, sentence
