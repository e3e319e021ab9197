"""The step of the DAG `score_forecast`: the stored forecasts of each KST day meet what came.

A day is scored anew each hour while it is open, and then whenever the snapshot of a day of candles that its scores rest
on is another one, as after a repair. The name of a day's file says of which snapshots its scores are:
`<digest of the snapshots>_<state>.parquet`, the state being `open` while more is to come, `closed`, or `before` of a
closed day whose forecasts do not say when they were issued (release 0.1.0), so that the record begins later.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pyarrow as pa

from upbit_elt.candle import MINUTE, day_end, day_start, kst_day
from upbit_elt.clock import Clock, SystemClock
from upbit_elt.forecast.outcomes import MarketDay, Outcomes, read_day
from upbit_elt.forecast.schema import HORIZONS
from upbit_elt.forecast.score_day import NEEDED, SCORE, ScoredDay
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.coverage import Coverage
from upbit_elt.lake.isolation import isolated
from upbit_elt.lake.layout import Kind
from upbit_elt.lake.lease import lease
from upbit_elt.lake.ledger import DataFile, Snapshot
from upbit_elt.lake.parquet import row_groups
from upbit_elt.lake.snapshot import Published, read_source, write_snapshot
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive
from upbit_elt.warehouse.register import DailyTable, register_now

log = logging.getLogger(__name__)

NO_WAIT = timedelta(0)  # a day whose lease another run holds is left to the next one
# Days before a scored one from which a market's own quantiles are taken.
HISTORY_DAYS = 7
# Days that a run looks at, the newest: as many as there are forecasts of by default (keep_forecast_days), and today.
LOOK_BACK = 31
RULES = "1"  # part of the digest: days are scored anew by a release that scores differently
OPEN, CLOSED, BEFORE = "open", "closed", "before"


@dataclass
class Scored:
    """What a run did: the snapshots of scores that it published, and the days or files that failed, with the reason."""

    made: list[Published] = field(default_factory=list)
    troubles: dict[str, str] = field(default_factory=dict)


def score(settings: Settings, run_id: str) -> Scored:
    """Score the stored forecasts of all days that are due, and register the scores in Hive. Raises as Scorer.run."""
    return Scorer(Lake.from_settings(settings), Hive.from_settings(settings), settings, SystemClock()).run(run_id)


class Scorer:
    """Scores days; a second run finds nothing to do, but for the open day. Make a new one for each run."""

    def __init__(self, lake: Lake, hive: Hive, settings: Settings, clock: Clock) -> None:
        self._lake, self._hive, self._settings, self._clock = lake, hive, settings, clock
        self._snapshots: dict[DailyTable, Snapshot | None] = {}
        self._minutes: dict[str, dict[str, MarketDay]] = {}

    def run(self, run_id: str) -> Scored:
        """Score each day that is due, oldest first. A day that cannot be read or written is left to the next run.

        A run lists the newest LOOK_BACK days, however old the lake is, and reads those that are due.

        Raises:
            LakeError, WarehouseError: HDFS or Hive do not answer, so not all days are done; run it again.
        """
        done = Scored()
        live = ledger.live_coverage(self._lake)
        if live is None:
            return done
        first = next(iter(ledger.days(self._lake, "forecast")), None)
        last = kst_day(live.end - MINUTE)
        days = [day for day in ledger.days(self._lake, "candle") if first and first <= day <= last]
        for day in days[-LOOK_BACK:]:
            with isolated(self._lake, f"score {day}", done.troubles):
                self._day(day, live, run_id, done)
        return done

    def _day(self, day: str, live: Coverage, run_id: str, done: Scored) -> None:
        digest, latest = self._digest(day), self._latest(day)
        if latest and _name(latest) in (f"{digest}_{CLOSED}.parquet", f"{digest}_{BEFORE}.parquet"):
            return
        unreadable: dict[str, str] = {}
        scored = ScoredDay(self._outcomes(day, unreadable), day, live.end, begun=self._begun(day))
        done.troubles |= unreadable
        for part in self._forecasts(day):
            scored.add(part)
        table = scored.table(live.watermark)
        state = self._state(day, live, dated=scored.dated or self._begun(day)) if not unreadable else OPEN
        name = f"{digest}_{state}.parquet"
        if state == OPEN and table.num_rows == 0:
            return
        if latest and _name(latest) == name and read_source(self._lake, SCORE, latest).table.equals(table):
            return
        with lease(self._lake, layout.day_folder(self._lake.root, SCORE.kind, day), self._clock, wait=NO_WAIT) as held:
            notes = {"run": run_id}
            made = write_snapshot(self._lake, SCORE, day, name, [table], held, complete=True, notes=notes)
        register_now(self._lake, self._hive, self._settings, DailyTable(SCORE.kind, day))
        log.info("scores of %s: %d rows in %s", day, made.rows, made.folder)
        done.made.append(made)

    def _latest(self, day: str) -> DataFile | None:
        """The file of the latest scores of a day."""
        snapshot = ledger.current(self._lake, SCORE.kind, day)
        return next(iter(ledger.files(self._lake, snapshot, day)), None) if snapshot else None

    def _begun(self, day: str) -> bool:
        """Whether the record of scores began on a day before."""
        before = [scored for scored in ledger.days(self._lake, SCORE.kind) if scored < day]
        latest = self._latest(before[-1]) if before else None
        return latest is not None and not _name(latest).endswith(f"_{BEFORE}.parquet")

    def _snapshot(self, kind: Kind, day: str) -> Snapshot | None:
        key = DailyTable(kind, day)
        if key not in self._snapshots:
            self._snapshots[key] = ledger.current(self._lake, kind, day)
        return self._snapshots[key]

    def _digest(self, day: str) -> str:
        """Which complete snapshots the scores of a day rest on, in 12 hex digits."""
        used = [DailyTable("forecast", day), *(DailyTable("candle", near) for near in _days(day))]
        snapshots = [self._snapshot(*one) for one in used]
        leaves = [found.path.rsplit("/", 2)[1:] if found and found.complete else "" for found in snapshots]
        return hashlib.sha256(repr([RULES, leaves]).encode()).hexdigest()[:12]

    def _state(self, day: str, live: Coverage, *, dated: bool) -> str:
        """Whether more is to come of a day; if not, whether its forecasts belong to the record."""
        candles, forecasts = self._snapshot("candle", day), self._snapshot("forecast", day)
        closed = candles and candles.complete and (forecasts is None or forecasts.complete)
        if not closed or live.end < day_end(day) + max(HORIZONS) * MINUTE:
            return OPEN
        return CLOSED if dated else BEFORE

    def _outcomes(self, day: str, unreadable: dict[str, str]) -> Outcomes:
        near = _days(day)
        self._minutes = {
            one: self._minutes[one] if one in self._minutes else read_day(self._lake, one, unreadable) for one in near
        }
        markets = {*self._minutes[day], *self._minutes[near[-1]]}
        return Outcomes.of_days(near[0], [self._minutes[one] for one in near], markets)

    def _forecasts(self, day: str) -> Iterator[pa.Table]:
        """The day's forecasts, a row group at a time; none of files that do not say when they were issued."""
        snapshot = self._snapshot("forecast", day)
        for file in ledger.files(self._lake, snapshot, day) if snapshot else ():
            yield from row_groups(self._lake.read(file.path), file.path, NEEDED)


def _name(file: DataFile) -> str:
    return file.path.rsplit("/", 1)[1]


def _days(day: str) -> list[str]:
    """The KST days whose candles the scores of a day rest on: HISTORY_DAYS before it, itself, and the one after it."""
    return [kst_day(day_start(day) + timedelta(days=number)) for number in range(-HISTORY_DAYS, 2)]
