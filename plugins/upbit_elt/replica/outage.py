"""Outages of a replica that somebody switches on and off while it runs: an endpoint hangs, refuses, or has changed.

Written as `ENDPOINT=WHAT` or `ENDPOINT:WHO=WHAT`, several with commas, spaces or lines between them:

- ENDPOINT is `market`, `ticker` or `candles`: the part of the path behind /v1;
- WHAT is `hang` (no answer for longer than anybody waits), a status from 400 to 599, or for candles `text`: prices
  come as text, as if the exchange had changed its answers;
- WHO is a market, or a share from 0 to 1 of the markets, always the same ones of a seed; without it all are meant.

`candles=hang`, `candles:0.07=503`, `market=502 ticker=502`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

ENDPOINTS = ("market", "ticker", "candles")
HANGS, TEXT = 0, 1


class Outage(NamedTuple):
    """What is wrong with an endpoint: `status` that it refuses with, HANGS or TEXT; of one market, a share, or all."""

    endpoint: str
    status: int
    market: str = ""
    share: float = 1.0


Outages = Callable[[], Sequence[Outage]]


def parse_outages(text: str) -> tuple[Outage, ...]:
    """Outages as written (see above), () of an empty text. Raises ValueError, which says how to write them."""
    return tuple(_outage(part) for part in text.replace(",", " ").split())


def from_file(path: Path) -> Outages:
    """The outages that a file names at the moment of asking; none while it is not there.

    The callable raises ValueError when the file's text is none.
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
