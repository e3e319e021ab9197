"""When a day that is only partly reconciled, or has discrepancies, is reconciled again.

The plan is one small file in the lake, `/reconciliation/_rechecks.json`, written by the reconciliation alone. Without
the file every day is due.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from upbit_elt.errors import LakeCorrupt
from upbit_elt.lake import layout
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.quality.reconciled_day import ReconciledDay
from upbit_elt.quality.results import DayResult

log = logging.getLogger(__name__)

# With a run every 10 minutes, a day is due at the next run, then at every second, fourth, ... one.
FIRST, LONGEST = timedelta(minutes=9), timedelta(hours=6)
# Discrepancies are rechecked for so long after their day.
RECHECK_DAYS = timedelta(days=30)
ANY = "*"


class DayRecheck(NamedTuple):
    """The next recheck of a day: how often the day was tried, when the recheck is due (UTC), and why.

    `snapshot` names the reconciled snapshot of candles: "" when none was, ANY when the day could not be read.
    """

    snapshot: str
    tries: int
    due: AwareDatetime
    why: str


_FILE = TypeAdapter(dict[str, DayRecheck])


def is_due(planned: DayRecheck | None, reconciled: DayResult | None, now: datetime) -> bool:
    """Whether a day's recheck is due at `now` (UTC); `reconciled` is the reconciliation of its current candles."""
    if planned is None or planned.due <= now:
        return True
    return planned.snapshot not in (ANY, reconciled.snapshot if reconciled else "")


def waits(planned: DayRecheck | None, snapshot: str, now: datetime) -> bool:
    """Whether a day is certainly not due at `now` (UTC), when `snapshot` is its newest snapshot of candles."""
    return planned is not None and planned.due > now and planned.snapshot in (ANY, "", snapshot)


def read(lake: Lake) -> dict[str, DayRecheck]:
    """The planned rechecks by KST day; {} when the file is missing or cannot be read."""
    try:
        return _FILE.validate_json(lake.read(_path(lake)))
    except LakeCorrupt:
        return {}
    except ValidationError as error:
        log.warning("%s cannot be read, so every day is due: %s", _path(lake), error)
        return {}


def plan(lake: Lake, outcomes: Iterable[ReconciledDay], now: datetime) -> None:
    """Plan the rechecks of what a run at `now` (UTC) left open: after 10, 20, 40, ... minutes, six hours at most.

    A day that the run had no time for is due at once.
    """
    before = read(lake)
    after = dict(before)
    for one in outcomes:
        after.pop(one.day, None)
        if one.cut_short or (one.verdict == "proven" and not one.trouble):
            continue
        snapshot = ANY if one.trouble else one.day_result.snapshot if one.day_result else ""
        earlier = before.get(one.day)
        tries = earlier.tries + 1 if earlier and earlier.snapshot == snapshot else 1
        wait = LONGEST if one.verdict == "findings" else min(LONGEST, FIRST * 2 ** min(tries - 1, 10))
        after[one.day] = DayRecheck(
            snapshot, tries, now + wait, one.trouble or next(iter(one.left.values()), "findings")
        )
    if after != before:
        lake.replace(_path(lake), json.dumps(_FILE.dump_python(after, mode="json"), indent=1).encode())


def _path(lake: Lake) -> str:
    return f"{layout.kind_folder(lake.root, 'reconciliation')}/_rechecks.json"
