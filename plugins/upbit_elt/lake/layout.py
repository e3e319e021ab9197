"""The paths of the lake, and what its file names mean.

<root>/candle/yyMMdd/live-<g>/<start>_<end>.parquet   while the KST day is open; UTC minutes, half-open
<root>/candle/yyMMdd/day-<n>/candle.parquet           one file a day
<root>/candle/_pending/<task>.<kind>.yyMMdd...         what is still to do for a day (see lake/pending.py)
<root>/candle/yyMMdd/_unshown-<snapshot>            written by earlier releases: Hive may not show that snapshot yet
<root>/candle/_backfill/yyMMdd/...                    staged history of a day that is not complete yet
<root>/candle/_errors/<dag>.json                      the last error of a DAG that fails
<root>/candle/_backfill/wanted.json                   says that the history of `history_days` is complete
<root>/candle/_backfill/requests/<id>.json            a backfill request, and how far it is
<root>/forecast/yyMMdd/live-<g>/<origin>.parquet
<root>/reconciliation/yyMMdd/day-<n>/<snapshot of the candles>_<verdict>.parquet
<root>/score/yyMMdd/day-<n>/<digest of the snapshots it rests on>_<state>.parquet
<root>/rejected/yyMMdd/<first minute>_<digest>.jsonl  quarantined rows
<root>/model/<version>/, <root>/model/champion.json

A name `_....<32 hex digits>` belongs to a writer at work, or to one that died; Hive ignores names that begin with `_`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

from upbit_elt.candle import day_end, day_start

Kind = Literal["candle", "forecast", "reconciliation", "score"]
# Kinds whose old days are removed.
Expiring = Literal["forecast", "score"]
# Folders at the top of a dataset.
TOP_FOLDERS = ("candle", "forecast", "model", "reconciliation", "rejected", "score")
STAMP = "%Y%m%d%H%M"
DAY = re.compile(r"^\d{6}$")
LIVE = re.compile(r"^live-(\d+)$")
COMPLETE = re.compile(r"^day-(\d+)$")
HIDDEN = re.compile(r"^_.+\.[0-9a-f]{32}$")
UNREGISTERED = "_unshown-"
WINDOW = re.compile(r"^(\d{12})_(\d{12})\.parquet$")


def kind_folder(root: str, kind: Kind) -> str:
    """The folder of all days of a kind."""
    return f"{root}/{kind}"


def day_folder(root: str, kind: Kind, day: str) -> str:
    """The folder of a KST day `yyMMdd`."""
    return f"{root}/{kind}/{day}"


def live_folder(root: str, kind: Kind, day: str, snapshot: int) -> str:
    """The leaf folder of an open day's snapshot with this number."""
    return f"{day_folder(root, kind, day)}/live-{snapshot}"


def complete_folder(root: str, kind: Kind, day: str, snapshot: int) -> str:
    """The leaf folder of a complete day's snapshot with this number."""
    return f"{day_folder(root, kind, day)}/day-{snapshot}"


def pending_folder(root: str) -> str:
    """The folder of the pending markers."""
    return f"{root}/candle/_pending"


def errors_folder(root: str) -> str:
    """The folder of the DAGs' last errors; it lies below the candles, where the DAGs' user may write."""
    return f"{kind_folder(root, 'candle')}/_errors"


def backfill_root(root: str) -> str:
    """The folder of the backfill: staged days and requests."""
    return f"{root}/candle/_backfill"


def backfill_folder(root: str, day: str) -> str:
    """The folder in which the candles of a KST day are staged until all its markets are accounted for."""
    return f"{backfill_root(root)}/{day}"


def complete_history_path(root: str) -> str:
    """The file that says that the history of `history_days` is complete."""
    return f"{backfill_root(root)}/wanted.json"


def requests_folder(root: str) -> str:
    """The folder of the backfill requests."""
    return f"{backfill_root(root)}/requests"


def model_root(root: str) -> str:
    """The folder of all models."""
    return f"{root}/model"


def quarantine_folder(root: str, day: str) -> str:
    """The folder of quarantined rows and files of a KST day `yyMMdd`."""
    return f"{root}/rejected/{day}"


def model_folder(root: str, version: str) -> str:
    """The folder of a model's weights and card."""
    return f"{model_root(root)}/{version}"


def champion_path(root: str) -> str:
    """The file that names the model in use."""
    return f"{model_root(root)}/champion.json"


def quarantine_root(root: str) -> str:
    """The folder of all quarantined rows and files."""
    return f"{root}/rejected"


def stamp(moment: datetime) -> str:
    """A moment's UTC minute as file names have it, `yyyyMMddHHmm`."""
    return moment.astimezone(UTC).strftime(STAMP)


@lru_cache(maxsize=1 << 14)  # a footer repeats the same minutes hundreds of times
def parse_stamp(text: str) -> datetime:
    """The UTC minute of a file name's stamp. Raises ValueError on any other form."""
    return datetime.strptime(text, STAMP).replace(tzinfo=UTC)


def window_name(start: datetime, end: datetime) -> str:
    """The file name of the half-open span [start, end)."""
    return f"{stamp(start)}_{stamp(end)}.parquet"


def parse_window(name: str) -> tuple[datetime, datetime] | None:
    """The span [start, end) (UTC) of a window's file name, None for any other name."""
    match = WINDOW.match(name)
    return (parse_stamp(match[1]), parse_stamp(match[2])) if match else None


def span_of(path: str) -> tuple[datetime, datetime] | None:
    """The longest span (UTC) that a file may cover: that of its name, else its folder's KST day; None if neither."""
    *folders, name = path.split("/")
    day = next((folder for folder in reversed(folders) if DAY.match(folder)), None)
    return parse_window(name) or ((day_start(day), day_end(day)) if day else None)
