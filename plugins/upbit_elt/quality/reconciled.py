"""What a run of reconciliation made of a day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from upbit_elt.quality.day import NOT_YET
from upbit_elt.quality.results import DayProof, Proof, Verdict

REASONS = 3  # that are told of a day


@dataclass(frozen=True)
class ReconciledDay:
    """What a run made of a closed day: its verdict, all rows of it, and whether candles were repaired.

    `proof` is where the rows lie, None when no market could be judged. `left` are the markets with an hour that is not
    judged yet, each with the reason; `trouble` says why the day could not be read or written at all.
    """

    day: str
    verdict: Verdict
    proof: DayProof | None = None
    rows: tuple[Proof, ...] = ()
    repaired: bool = False
    left: Mapping[str, str] = field(default_factory=dict)
    trouble: str = ""

    @property
    def unjudged(self) -> int:
        """How many markets have an hour that is not judged yet."""
        return len(self.left)

    @property
    def cut_short(self) -> bool:
        """Whether the run's time was over before all was asked."""
        return NOT_YET in self.left.values()

    @property
    def discrepancies(self) -> list[Proof]:
        """The market-days that stay different."""
        return [row for row in self.rows if row.state == "finding"]

    def __str__(self) -> str:
        if self.trouble:
            return f"{self.day} cannot be judged: {self.trouble}"
        hours, differing, repaired, discrepancies = (
            sum(getattr(row, name) for row in self.rows)
            for name in ("hours", "differences", "repaired", "discrepancies")
        )
        gone = sum(row.state == "gone" for row in self.rows)
        words = (
            f"{self.day} {self.verdict}: {len(self.rows)} markets, {hours} hours compared, {differing} differed, "
            f"{repaired} repaired, {discrepancies} findings, {gone} markets gone, {self.unjudged} not judged yet"
        )
        return words + self._why()

    def _why(self) -> str:
        """The reasons, the most frequent first, each with a market that it holds for."""
        example = {reason: market for market, reason in reversed(list(self.left.items()))}
        counts = Counter(self.left.values()).most_common()
        words = [f"{count} as {example[reason]}: {reason}" for reason, count in counts[:REASONS]]
        words += [f"{len(counts) - REASONS} more reasons"] if len(counts) > REASONS else []
        return f" ({'; '.join(words)})" if words else ""
