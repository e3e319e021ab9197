"""The quarantine: rows that failed validation, stored as received, with the reason: <root>/rejected/yyMMdd/*.jsonl.

The day is the KST day of the first minute for which a row may stand. Each line is one row, its market, its span (UTC),
the reason and the run. Files appear whole and are never replaced, like all files of the lake.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable

from upbit_elt.candle import kst_day, wire
from upbit_elt.exchange.validation import QuarantinedRow
from upbit_elt.lake.layout import quarantine_folder, stamp
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.metrics import QUARANTINED


def quarantine(lake: Lake, rows: Iterable[QuarantinedRow], run: str) -> list[str]:
    """Store quarantined rows and return the paths; storing the same rows of a run twice makes no second file."""
    by_day: dict[str, list[QuarantinedRow]] = defaultdict(list)
    for row in rows:
        by_day[kst_day(row.start)].append(row)
    paths = [_publish(lake, day, by_day[day], run) for day in sorted(by_day)]
    QUARANTINED.inc(sum(map(len, by_day.values())))
    return paths


def _publish(lake: Lake, day: str, rows: list[QuarantinedRow], run: str) -> str:
    lines = sorted({_line(row, run) for row in rows})
    # A lone surrogate, which UTF-8 cannot encode, becomes its JSON escape.
    data = "\n".join([*lines, ""]).encode(errors="backslashreplace")
    digest = hashlib.sha256(data).hexdigest()[:16]
    path = f"{quarantine_folder(lake.root, day)}/{stamp(min(row.start for row in rows))}_{digest}.jsonl"
    lake.publish(path, data)
    return path


def _line(row: QuarantinedRow, run: str) -> str:
    document = {
        "market": row.market,
        "start": wire(row.start),
        "end": wire(row.end),
        "reason": row.reason,
        "run": run,
        "row": row.row,
    }
    return json.dumps(document, ensure_ascii=False)
