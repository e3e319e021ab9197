"""The results of reconciliation in the lake: one row for each market and day, in a new snapshot for each run.

`/reconciliation/yyMMdd/day-<n>/<snapshot>_<verdict>.parquet`. The name says which snapshot of the candles was
reconciled, so that two listings give the state of a day; a result of an older snapshot does not count.
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

# Stored spellings. proven: every hour was compared and matches the exchange's own, except those of markets that are
# gone. findings: there are discrepancies. partial: not all hours are reconciled.
Verdict = Literal["proven", "findings", "partial"]
# Stored spellings. partial: no reconciled hour differs, but some are not reconciled. gone: the exchange no longer knows
# the market, so that it cannot be reconciled.
State = Literal["proven", "finding", "partial", "gone"]
DayState = Literal["open", "closed", "proven"]
HOURS = 24
UNJUDGED = "unjudged"  # the stored `field` of a detail for an hour that is not reconciled, with its reason
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
class MarketResult:
    """A market's day compared with the exchange's 60-minute candles.

    Of the `hours` compared, `differences` differed at first; `repaired` of these agree now, and `discrepancies` do not.
    `detail` is a JSON list of the differing values (hour, field, ours, exchange), and of the hours not reconciled
    (field `unjudged`, and the reason). `snapshot` names that of the candles (stored as `generation`), `digest` is of
    all their values, `checked` the exchange's time (UTC, wire form).
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
        """The entries of `detail`."""
        return list(json.loads(self.detail))

    def found(self) -> list[dict[str, Any]]:
        """The entries of values that differ."""
        return [entry for entry in self.entries() if entry["field"] != UNJUDGED]

    def reconciled_hours(self, day: str) -> frozenset[datetime]:
        """The starts (UTC) of the KST day's hours that are reconciled; of a market that is gone these are all."""
        open_hours = {hour_of(entry) for entry in self.entries() if entry["field"] == UNJUDGED}
        return frozenset(hours_of(day)) - open_hours

    def proven_hours(self, day: str) -> list[datetime]:
        """The starts (UTC) of the KST day's hours that agree with the exchange."""
        if self.state == "gone":
            return []
        open_hours = {hour_of(entry) for entry in self.entries()}
        return [hour for hour in hours_of(day) if hour not in open_hours]


def hours_of(day: str) -> list[datetime]:
    """The starts (UTC) of the hours of a KST day."""
    return [day_start(day) + timedelta(hours=hour) for hour in range(HOURS)]


def hour_of(entry: Mapping[str, Any]) -> datetime:
    """The hour (start, UTC) of an entry of `detail`."""
    return parse_wire(entry["hour"])


def unreconciled(hour: datetime, reason: str) -> dict[str, Any]:
    """The entry of `detail` for an hour (start, UTC) that is not reconciled."""
    return {"hour": wire(hour), "field": UNJUDGED, "reason": reason}


class DayResult(NamedTuple):
    """A stored reconciliation of a day: the snapshot of candles, the verdict, and the folder and path of the rows."""

    day: str
    snapshot: str
    verdict: Verdict
    folder: str
    path: str


def latest(lake: Lake, day: str) -> DayResult | None:
    """The newest reconciliation of a KST day, None before the first."""
    folder = ledger.current(lake, "reconciliation", day)
    for entry in lake.list(folder.path) if folder else []:
        match = _NAME.match(entry.name)
        if folder and match:
            return DayResult(day, match[1], match[2], folder.path, f"{folder.path}/{entry.name}")  # type: ignore[arg-type]
    return None


def valid(lake: Lake, day: str) -> DayResult | None:
    """The newest reconciliation of a KST day, if it is of the candles' current snapshot, and that still has a file."""
    snapshot, found = ledger.current(lake, "candle", day), latest(lake, day)
    if snapshot is None or found is None or not snapshot.path.endswith(f"/{found.snapshot}"):
        return None
    return found if ledger.files(lake, snapshot, day) else None


def state_of(lake: Lake, day: str) -> tuple[DayState, DayResult | None]:
    """Whether a KST day is open, closed or proven, and its valid reconciliation.

    Proven: closed, and the reconciliation of its current snapshot compared every hour and found none that differs,
    but for markets that the exchange no longer knows. The verdict is that in the file's name; its rows are not read.
    """
    snapshot = ledger.current(lake, "candle", day)
    if snapshot is None or not snapshot.complete:
        return "open", None
    found = valid(lake, day)
    return ("proven" if found and found.verdict == "proven" else "closed"), found


def read(lake: Lake, found: DayResult | None) -> dict[str, MarketResult]:
    """The results of a reconciliation by market; {} when there is none, or it cannot be read and does not count."""
    if found is None:
        return {}
    try:
        rows = [
            MarketResult(*(row[name] for name in SCHEMA.names))
            for row in decode(lake.read(found.path), found.path, SCHEMA).to_pylist()
        ]
        for row in rows:
            row.proven_hours(found.day)
            parse_wire(row.checked)
    except (LakeCorrupt, ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("%s cannot be read; `prove --day %s` reconciles its day again: %s", found.path, found.day, error)
        return {}
    return {row.market: row for row in rows}


def carried(old: Mapping[str, MarketResult], digests: Mapping[str, str], snapshot: str) -> dict[str, MarketResult]:
    """The older results that still hold: of markets whose values (`digests`) are the same in this `snapshot`."""
    return {
        market: replace(market_result, snapshot=snapshot)
        for market, market_result in old.items()
        if market_result.digest == digests.get(market, "")
    }


def publish(
    lake: Lake, day: str, market_results: Iterable[MarketResult], snapshot: str, verdict: Verdict, lease: Lease
) -> DayResult:
    """Publish the results of a day as a new snapshot; the newest one stays when it says the same.

    Another time of the check, or another wording of a reason, is nothing new.
    """
    rows = sorted(market_results, key=lambda market_result: market_result.market)
    before = latest(lake, day)
    name = f"{snapshot}_{verdict}.parquet"
    if (
        before
        and before.path.endswith(f"/{name}")
        and [*map(_comparable, read(lake, before).values())] == [*map(_comparable, rows)]
    ):
        return before
    numbers = [found.number for found in ledger.snapshots(lake, "reconciliation", day)]
    folder = layout.complete_folder(lake.root, "reconciliation", day, max(numbers, default=0) + 1)
    hidden = f"{layout.day_folder(lake.root, 'reconciliation', day)}/_{uuid4().hex}"
    lake.publish(f"{hidden}/{name}", encode(to_table(rows)))
    pending.add(lake, pending.registering("reconciliation", folder))
    lease.check()
    lake.rename(hidden, folder)
    return DayResult(day, snapshot, verdict, folder, f"{folder}/{name}")


def _comparable(row: MarketResult) -> tuple[MarketResult, list[dict[str, Any]]]:
    entries = [{name: value for name, value in entry.items() if name != "reason"} for entry in row.entries()]
    return replace(row, checked="", detail=""), entries


def stored_row(market_result: MarketResult) -> dict[str, Any]:
    """A row by the names of its stored columns (SCHEMA), some of which are older than the words of this code."""
    return dict(zip(SCHEMA.names, astuple(market_result), strict=True))


def to_table(rows: list[MarketResult]) -> pa.Table:
    """The Arrow table (SCHEMA) of market results."""
    columns = list(zip(*(astuple(row) for row in rows), strict=True)) or [()] * len(fields(MarketResult))
    arrays = [pa.array(values, type=field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)
