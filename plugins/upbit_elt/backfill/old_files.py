"""Import Parquet files of the old pipeline: provably closed candles are published, the backfill fetches the others.

The old pipeline saved the newest candle of each market, whether its minute was over or not, and nothing in a row says
which: `timestamp` is the last trade, which lies before the minute's end in both cases. Only the moment at which a row
was read decides it. A file's name carries the moment its run began (`240404081005_...`, UTC or KST): in the files seen,
the newest trades lie up to 45 s after it, the later the further down the file. So every row was read after that moment,
and **a candle is provably closed when its minute ended SETTLE before it**. The moment counts only if the file's newest
trade is not earlier, and at most an hour later: else it may be the run's end, or no time at all, and no candle of the
file is provably closed. The files' modification times prove nothing: copying changes them.

When two closed rows of a minute differ, both are left out. A minute that the lake accounts for stays as it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from upbit_elt.candle import FIELDS, KST, MINUTE, SCHEMA, Candle, day_end, day_start, days_between, to_table
from upbit_elt.clock import Clock
from upbit_elt.collect.plan import SETTLE
from upbit_elt.errors import BadFile, ConfigError
from upbit_elt.exchange.models import MinuteCandle
from upbit_elt.exchange.validation import LATEST_TICK
from upbit_elt.holes import HoleReason
from upbit_elt.intervals import gaps
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.backfill_queue import FIRST_EVER
from upbit_elt.lake.coverage import Coverage, Span, by_market
from upbit_elt.lake.lease import lease
from upbit_elt.lake.publish import Published, publish_snapshot
from upbit_elt.lake.read import read_sources
from upbit_elt.lake.webhdfs import Lake

# The longest time that a run of the old pipeline took.
LONGEST_RUN = timedelta(hours=1)
_STAMP = re.compile(r"^(\d{10,14})(?!\d)")
_FORMS = {10: ("%y%m%d%H%M",), 12: ("%y%m%d%H%M%S", "%Y%m%d%H%M"), 14: ("%Y%m%d%H%M%S",)}
OPEN = "open when it was saved, or not provably closed"
UNDATED = "the file's name does not say when it was saved"
CONFLICT = "two closed rows of one minute differ"
TIMELESS = "candle_date_time_utc is no time at which there was a candle"
_LATEST_TICK = (MINUTE + LATEST_TICK) // timedelta(milliseconds=1)
TICK = "timestamp is not in the candle's minute"
# KST days have two digits for the year.
LATEST = datetime(2069, 1, 1, tzinfo=UTC)
KNOWN, DUPLICATE = "in the lake already", "in more than one file"
Key = tuple[str, str]


class OldFile(NamedTuple):
    """An old file: when its run began (UTC; None when unknown), the first and last minute (UTC) of its candles, and how
    many of its rows have no valid time.
    """

    path: Path
    began: datetime | None
    first: datetime
    last: datetime
    timeless: int = 0

    def days(self) -> Iterator[str]:
        """The KST days that its candles lie in, oldest first."""
        return days_between(self.first, self.last + MINUTE)


@dataclass
class Adopted:
    """How many files and rows were read, and what became of the rows.

    `imported` were published; `duplicates`, `open` and `invalid` count the others by reason. `published` is sorted by
    day.
    """

    files: int = 0
    rows: int = 0
    imported: int = 0
    duplicates: Counter[str] = field(default_factory=Counter)
    open: Counter[str] = field(default_factory=Counter)
    invalid: Counter[str] = field(default_factory=Counter)
    published: list[Published] = field(default_factory=list)


def survey(folder: Path) -> list[OldFile]:
    """Read and check the Parquet files of a folder, oldest first; publishes nothing.

    Raises:
        ConfigError: there is no Parquet file.
        BadFile: a file is no Parquet of candles.
    """
    paths = sorted(path for path in folder.rglob("*.parquet") if not path.is_dir()) if folder.is_dir() else [folder]
    if not paths:
        raise ConfigError(f"{folder} holds no *.parquet file")
    sources = [_source(path) for path in paths]
    return sorted((s for s in sources if s), key=lambda s: (s.began or s.last, s.path.name))


def adopt(lake: Lake, sources: Iterable[OldFile], clock: Clock) -> Adopted:
    """Publish the provably closed candles, one snapshot for each KST day. A second run changes nothing.

    Raises:
        LakeError: some days are published, the oldest first; run it again.
        LeaseHeld: another writer holds the lease of a day.
    """
    found = Adopted()
    by_day: dict[str, list[OldFile]] = {}
    for source in sources:
        found.files += 1
        if source.timeless:
            found.rows += source.timeless
            found.invalid[TIMELESS] += source.timeless
        for day in source.days():
            by_day.setdefault(day, []).append(source)
    for day in sorted(by_day):
        rows = _ClosedRows(day, found)
        for source in by_day[day]:
            rows.take(source)
        _publish(lake, day, rows, clock, found)
    return found


class _ClosedRows:
    """The closed candles of one KST day, by market and minute, and the name of the file that each comes from."""

    def __init__(self, day: str, found: Adopted) -> None:
        self._day, self._found = day, found
        self.candles: dict[Key, Candle] = {}
        self.origin: dict[Key, str] = {}
        self._bad: set[Key] = set()

    def take(self, source: OldFile) -> None:
        for row in _rows(source.path, self._day):
            self._found.rows += 1
            reason = self._take(row, source)
            if reason:
                self._found.invalid[reason] += 1

    def _take(self, row: dict[str, object], source: OldFile) -> str:
        """Add a row to the candles or count why not; the reason when the row is invalid, else ""."""
        try:
            checked = MinuteCandle.model_validate(row, strict=False)
        except ValidationError as error:
            return _words(error)
        if checked.unit != 1 or not 0 <= checked.timestamp - _ms(checked.start) < _LATEST_TICK:
            return f"unit {checked.unit}: no 1-minute candle" if checked.unit != 1 else TICK
        if source.began is None or checked.start + MINUTE + SETTLE > source.began:
            self._found.open[UNDATED if source.began is None else OPEN] += 1
            return ""
        candle = checked.to_candle()
        key = candle.market, candle.candle_date_time_utc
        if key in self._bad:
            return CONFLICT
        if key not in self.candles:
            self.candles[key], self.origin[key] = candle, source.path.name
        elif self.candles[key] == candle:
            self._found.duplicates[DUPLICATE] += 1
        else:
            self._bad.add(key)
            del self.candles[key]
            self._found.invalid[CONFLICT] += 1
            return CONFLICT
        return ""


def _publish(lake: Lake, day: str, rows: _ClosedRows, clock: Clock, found: Adopted) -> None:
    if not rows.candles:
        return
    with lease(lake, layout.day_folder(lake.root, "candle", day), clock) as held:
        known = _known(lake, day)
        new = {key: candle for key, candle in rows.candles.items() if not _covers(known, candle)}
        found.duplicates[KNOWN] += len(rows.candles) - len(new)
        found.imported += len(new)
        if not new:
            return
        snapshot = ledger.current(lake, "candle", day)
        spans = [_span(candle, rows.origin[key]) for key, candle in new.items()]
        run = _run(rows.origin[key] for key in new)
        coverage = Coverage(min(s.start for s in spans), max(s.end for s in spans), run, tuple(sorted(spans)))
        complete = snapshot is not None and snapshot.complete
        published = publish_snapshot(lake, day, to_table(new.values()), coverage, held, complete=complete)
        found.published.append(published)


def _span(candle: Candle, file_name: str) -> Span:
    return Span(candle.market, candle.start, candle.start + MINUTE, "asked", detail=f"adopt:{file_name}")


def _run(names: Iterable[str]) -> str:
    first, *others = sorted(set(names))
    return f"adopt:{first}" + (f" and {len(others)} more" if others else "")


def _known(lake: Lake, day: str) -> dict[str, list[Span]]:
    """The spans that the lake accounts for, by market; holes and spans before a listing may be filled."""
    spans = (span for coverage in read_sources(lake, day)[1] for span in coverage.known())
    return by_market(span for span in spans if span.reason is not HoleReason.NOT_LISTED)


def _covers(known: dict[str, list[Span]], candle: Candle) -> bool:
    return not gaps(known.get(candle.market, []), candle.start, candle.start + MINUTE)


def _source(path: Path) -> OldFile | None:
    """A file with its run's start and its span; None when it has no row."""
    table = _read(path)
    if not table.num_rows:
        return None
    starts = _starts(table).drop_null()
    ticks = table.column("timestamp").cast(pa.int64())
    possible = ticks.filter(pc.and_(pc.greater_equal(ticks, _ms(FIRST_EVER)), pc.less(ticks, _ms(LATEST))))
    if not len(starts) or not len(possible):
        raise BadFile(f"{path}: its times are not Upbit's (2024-04-04T08:12:00)")
    first, last = (moment.replace(tzinfo=UTC) for moment in pc.min_max(starts).as_py().values())
    last_trade = datetime.fromtimestamp(pc.max(possible).as_py() / 1000, UTC)
    return OldFile(path, began(path.name, last_trade), first, last, table.num_rows - len(starts))


def _starts(table: pa.Table) -> pa.ChunkedArray:
    """The start of each candle (UTC, seconds); null where the text is no time at which Upbit had candles."""
    text = table.column("candle_date_time_utc")
    starts = pc.strptime(text, format="%Y-%m-%dT%H:%M:%S", unit="s", error_is_null=True)
    seconds = starts.cast(pa.int64())
    possible = pc.and_(pc.greater_equal(seconds, _ms(FIRST_EVER) // 1000), pc.less(seconds, _ms(LATEST) // 1000))
    return pc.if_else(possible, starts, pa.scalar(None, starts.type))


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def began(name: str, last_trade: datetime) -> datetime | None:
    """When the run that wrote a file began (UTC), by the file's name and last trade (UTC); None when it is unsure."""
    match = _STAMP.match(name)
    moments = [
        datetime.strptime(match[1], form).replace(tzinfo=zone)
        for form in _FORMS.get(len(match[1]) if match else 0, ())
        for zone in (UTC, KST)
        if match and _is_time(match[1], form)
    ]
    fitting = [moment for moment in moments if timedelta(0) <= last_trade - moment <= LONGEST_RUN]
    return min(fitting).astimezone(UTC) if fitting else None


def _is_time(text: str, form: str) -> bool:
    try:
        return bool(datetime.strptime(text, form))
    except ValueError:
        return False


def _rows(path: Path, day: str) -> Iterator[dict[str, object]]:
    """Yield the rows of a file that lie in the KST day."""
    table = _read(path)
    starts = _starts(table).cast(pa.int64())
    first, last = (_ms(moment) // 1000 for moment in (day_start(day), day_end(day)))
    inside = pc.and_(pc.greater_equal(starts, first), pc.less(starts, last))
    yield from table.filter(inside).to_pylist()


def _read(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in FIELDS if name not in file.schema_arrow.names]
            if missing:
                raise BadFile(f"{path}: no column {', '.join(missing)}; a candle has {', '.join(FIELDS)}")
            table = file.read(columns=list(FIELDS)).select(list(FIELDS)).cast(SCHEMA)
    except (OSError, pa.ArrowException) as error:
        raise BadFile(f"{path}: not a Parquet file of candles: {error}") from error
    return table


def _words(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else str(first["msg"]).removeprefix("Value error, ")
