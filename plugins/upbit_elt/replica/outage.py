"""Outages of a replica that are switched on and off while it runs: an endpoint hangs, fails, or has changed.

They are written as `ENDPOINT=WHAT` or `ENDPOINT:WHO=WHAT`, separated by commas, spaces or line ends:

- ENDPOINT is `market`, `ticker` or `candles`: the part of the path behind /v1;
- WHAT is `hang` (no response for longer than any client waits), a status from 400 to 599, or for candles `text`: the
  newest price of each response is a string;
- WHO is a market, or a share from 0 to 1 of the markets (a seed always gives the same ones); without it, all markets.

Examples: `candles=hang`, `candles:0.07=503`, `market=502 ticker=502`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

ENDPOINTS = ("market", "ticker", "candles")
HANGS, TEXT = 0, 1


class Outage(NamedTuple):
    """An outage of an endpoint: its `status` (or HANGS, or TEXT), for one market, a share of the markets, or all."""

    endpoint: str
    status: int
    market: str = ""
    share: float = 1.0


Outages = Callable[[], Sequence[Outage]]


def parse_outages(text: str) -> tuple[Outage, ...]:
    """Parse outages as described above; () for an empty text. Raises ValueError, which says how to write them."""
    return tuple(_outage(part) for part in text.replace(",", " ").split())


def from_file(path: Path) -> Outages:
    """Make a function that reads the current outages from a file; none while the file does not exist.

    The function raises ValueError when the file's text cannot be parsed.
    """

    def now() -> tuple[Outage, ...]:
        try:
            return parse_outages(path.read_text())
        except FileNotFoundError:
            return ()

    return now


def _outage(part: str) -> Outage:
    whom, _, what = part.partition("=")
    endpoint, _, who = whom.partition(":")
    named = {"hang": HANGS} | ({"text": TEXT} if endpoint == "candles" else {})
    status = named.get(what, int(what) if what.isdigit() else -1)
    if endpoint not in ENDPOINTS or not (what in named or 400 <= status <= 599):
        raise ValueError(
            f"{part!r}: write ENDPOINT=hang, ENDPOINT=STATUS or candles=text, with an endpoint of "
            f"{', '.join(ENDPOINTS)} and a status from 400 to 599; ENDPOINT:KRW-BTC=... or ENDPOINT:0.07=... for one "
            "market or a share of them"
        )
    if not who[:1].isdigit():
        return Outage(endpoint, status, who)
    if not 0 <= float(who) <= 1:
        raise ValueError(f"{part!r}: a share of the markets is a number from 0 to 1")
    return Outage(endpoint, status, share=float(who))
