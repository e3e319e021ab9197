"""What reconciliation found, kept in the lake: one row a market-day, in a new snapshot for each judgement.

`/reconciliation/yyMMdd/day-<n>/<snapshot>_<verdict>.parquet`. The name says which snapshot of the candles was
judged, so that the state of a day is known from two listings; a proof of an older snapshot counts no more.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import uuid4

import pyarrow as pa

from upbit_elt.candle import day_start, parse_wire, wire
from upbit_elt.errors import LakeCorrupt
from upbit_elt.lake import layout, ledger, pending
from upbit_elt.lake.lease import Lease
from upbit_elt.lake.parquet import decode, encode
from upbit_elt.lake.webhdfs import Lake

log = logging.getLogger(__name__)

# proven: all that the exchange still has agrees. findings: something stays different. partial: not all was judged.
Verdict = Literal["proven", "findings", "partial"]
# partial: no judged hour differs, some are not judged. gone: the exchange does not know the market any more, so nothing
# can be said.
State = Literal["proven", "finding", "partial", "gone"]
DayState = Literal["open", "closed", "proven"]
HOURS = 24
UNJUDGED = "unjudged"  # the `field` of a detail that names an hour that is not judged, with its reason
_NAME = re.compile(r"^(day-\d+)_(proven|findings|partial)\.parquet$")

SCHEMA = pa.schema(
    [
        ("market", pa.string()),
        ("generation", pa.string()),
        ("hours", pa.int32()),
        ("candles", pa.int32()),
        ("differences", pa.int32()),
        ("repaired", pa.int32()),
        ("findings", pa.int32()),
        ("state", pa.string()),
        ("checked", pa.string()),
        ("digest", pa.string()),
        ("detail", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Proof:
    """A market-day held against the exchange's 60-minute candles.

    Of `hours` compared, `differences` differed at first, `repaired` of these agree now and `findings` do not:
    `detail` gives their numbers (JSON list of hour, field, ours, exchange), and the hours that are not judged (field
    `unjudged`, and the reason). `snapshot` is that of the candles (stored as `generation`),
    `digest` is of all their values, `checked` the exchange's time (UTC, wire form).
    """

    market: str
    snapshot: str
    hours: int
    candles: int
    differences: int
    repaired: int
    discrepancies: int
    state: State
    checked: str
    digest: str
    detail: str = "[]"

    def entries(self) -> list[dict[str, Any]]:
        """What `detail` lists."""
        return list(json.loads(self.detail))

    def found(self) -> list[dict[str, Any]]:
        """What differs, with its numbers."""
        return [entry for entry in self.entries() if entry["field"] != UNJUDGED]

    def reconciled_hours(self, day: str) -> frozenset[datetime]:
        """Starts (UTC) of the hours of the KST day that were compared; of a market that is gone there is no more."""
        open_hours = {hour_of(entry) for entry in self.entries() if entry["field"] == UNJUDGED}
        return frozenset(hours_of(day)) - open_hours

    def proven_hours(self, day: str) -> list[datetime]:
        """Starts (UTC) of the hours of the KST day in which nothing is missing."""
        if self.state == "gone":
            return []
        open_hours = {hour_of(entry) for entry in self.entries()}
        return [hour for hour in hours_of(day) if hour not in open_hours]


def hours_of(day: str) -> list[datetime]:
    """Starts (UTC) of the hours of a KST day."""
    return [day_start(day) + timedelta(hours=hour) for hour in range(HOURS)]


def hour_of(entry: Mapping[str, Any]) -> datetime:
    """The hour (start, UTC) that an entry of `detail` is about."""
    return parse_wire(entry["hour"])


def unjudged(hour: datetime, reason: str) -> dict[str, Any]:
    """An entry of `detail` that names an hour (start, UTC) that is not judged."""
    return {"hour": wire(hour), "field": UNJUDGED, "reason": reason}


class DayProof(NamedTuple):
    """The newest judgement of a day: which snapshot of the candles it judged, how, and where it lies."""

    day: str
    snapshot: str
    verdict: Verdict
    folder: str
    path: str


def newest(lake: Lake, day: str) -> DayProof | None:
    """The newest judgement of a KST day, None before the first."""
    folder = ledger.current(lake, "reconciliation", day)
    for entry in lake.list(folder.path) if folder else []:
        match = _NAME.match(entry.name)
        if folder and match:
            return DayProof(day, match[1], match[2], folder.path, f"{folder.path}/{entry.name}")  # type: ignore[arg-type]
    return None


def valid(lake: Lake, day: str) -> DayProof | None:
    """The newest judgement of a KST day if it is of the candles' current snapshot, and that holds a file still."""
    snapshot, found = ledger.current(lake, "candle", day), newest(lake, day)
    if snapshot is None or found is None or not snapshot.path.endswith(f"/{found.snapshot}"):
        return None
    return found if ledger.files(lake, snapshot, day) else None


def state_of(lake: Lake, day: str) -> tuple[DayState, DayProof | None]:
    """Whether a KST day is open, closed or proven, and the judgement that counts for it."""
    snapshot = ledger.current(lake, "candle", day)
    if snapshot is None or not snapshot.complete:
        return "open", None
    found = valid(lake, day)
    return ("proven" if found and found.verdict == "proven" else "closed"), found


def read(lake: Lake, found: DayProof | None) -> dict[str, Proof]:
    """The rows of a judgement by market; {} of none, and of one that cannot be read: then it counts no more."""
    if found is None:
        return {}
    try:
        rows = [
            Proof(*(row[name] for name in SCHEMA.names))
            for row in decode(lake.read(found.path), found.path, SCHEMA).to_pylist()
        ]
        for row in rows:
            row.proven_hours(found.day)
            parse_wire(row.checked)
    except (LakeCorrupt, ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("%s cannot be read, its day is judged anew: %s", found.path, error)
        return {}
    return {row.market: row for row in rows}


def carried(old: Mapping[str, Proof], digests: Mapping[str, str], snapshot: str) -> dict[str, Proof]:
    """Of older rows those that still hold, as the market's values are the same in this snapshot."""
    return {
        market: replace(proof, snapshot=snapshot)
        for market, proof in old.items()
        if proof.digest == digests.get(market, "")
    }


def publish(lake: Lake, day: str, proofs: Iterable[Proof], snapshot: str, verdict: Verdict, lease: Lease) -> DayProof:
    """Publish the rows of a day as a new snapshot; the newest stays when it says the same.

    That the same was found at another time, or for a reason in other words, is nothing new.
    """
    rows = sorted(proofs, key=lambda proof: proof.market)
    before = newest(lake, day)
    name = f"{snapshot}_{verdict}.parquet"
    if (
        before
        and before.path.endswith(f"/{name}")
        and [*map(_said, read(lake, before).values())] == [*map(_said, rows)]
    ):
        return before
    numbers = [found.number for found in ledger.snapshots(lake, "reconciliation", day)]
    folder = layout.complete_folder(lake.root, "reconciliation", day, max(numbers, default=0) + 1)
    hidden = f"{layout.day_folder(lake.root, 'reconciliation', day)}/_{uuid4().hex}"
    lake.publish(f"{hidden}/{name}", encode(to_table(rows)))
    pending.add(lake, pending.registering("reconciliation", folder))
    lease.check()
    lake.rename(hidden, folder)
    return DayProof(day, snapshot, verdict, folder, f"{folder}/{name}")


def _said(row: Proof) -> tuple[Proof, list[dict[str, Any]]]:
    entries = [{name: value for name, value in entry.items() if name != "reason"} for entry in row.entries()]
    return replace(row, checked="", detail=""), entries


def stored_row(proof: Proof) -> dict[str, Any]:
    """A row by the names of its stored columns (SCHEMA), some of which are older than the words of this code."""
    return dict(zip(SCHEMA.names, astuple(proof), strict=True))


def to_table(rows: list[Proof]) -> pa.Table:
    """Arrow table (SCHEMA) of rows."""
    columns = list(zip(*(astuple(row) for row in rows), strict=True)) or [()] * len(fields(Proof))
    arrays = [pa.array(values, type=field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)
