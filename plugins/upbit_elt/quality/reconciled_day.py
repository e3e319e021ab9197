"""The outcome of reconciling one day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from upbit_elt.quality.results import DayResult, MarketResult, Verdict

REASONS = 3  # so many reasons are named in the words about a day


@dataclass(frozen=True)
class ReconciledDay:
    """A closed day after a run: its verdict, the results of its markets, and whether candles were repaired.

    `day_result` is where the rows are stored, None when no market could be reconciled. `left` are the markets with an
    hour that is not reconciled yet, with the reason; `trouble` says why the day could not be read or written at all.
    `cut_short`: the run's time was over before everything was requested.
    """

    day: str
    verdict: Verdict
    day_result: DayResult | None = None
    rows: tuple[MarketResult, ...] = ()
    repaired: bool = False
    left: Mapping[str, str] = field(default_factory=dict)
    trouble: str = ""
    cut_short: bool = False

    @property
    def unreconciled(self) -> int:
        """How many markets have an hour that is not reconciled yet."""
        return len(self.left)

    @property
    def discrepancies(self) -> list[MarketResult]:
        """The results of markets that still differ from the exchange."""
        return [row for row in self.rows if row.state == "finding"]

    def __str__(self) -> str:
        if self.trouble:
            return f"{self.day} cannot be reconciled: {self.trouble}"
        hours, differing, repaired, discrepancies = (
            sum(getattr(row, name) for row in self.rows)
            for name in ("hours", "differences", "repaired", "discrepancies")
        )
        gone = sum(row.state == "gone" for row in self.rows)
        words = (
            f"{self.day} {self.verdict}: {len(self.rows)} markets, {hours} hours compared, {differing} differed, "
            f"{repaired} repaired, {discrepancies} discrepancies, {gone} markets gone, "
            f"{self.unreconciled} not reconciled yet"
        )
        return words + self._why()

    def _why(self) -> str:
        """The reasons in words, the most frequent first, each with a market as an example."""
        example = {reason: market for market, reason in reversed(list(self.left.items()))}
        counts = Counter(self.left.values()).most_common()
        words = [f"{count} as {example[reason]}: {reason}" for reason, count in counts[:REASONS]]
        words += [f"{len(counts) - REASONS} more reasons"] if len(counts) > REASONS else []
        return f" ({'; '.join(words)})" if words else ""
