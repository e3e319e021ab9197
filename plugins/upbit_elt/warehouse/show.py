"""Make Hive show what the lake holds: the current generation of a day, whoever made it and whatever died meanwhile."""

from __future__ import annotations

from upbit_elt.lake import layout, ledger
from upbit_elt.lake.layout import Kind
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Statements
from upbit_elt.warehouse.tables import ensure_day, is_shown


def show_day(lake: Lake, hive: Statements, settings: Settings, kind: Kind, day: str) -> bool:
    """Point both tables of a KST day at its current generation; True when that changed anything.

    Of two that show at once the slower one looks again, so that none leaves Hive at an older generation.

    Raises:
        WarehouseError, LakeError: run it again.
    """
    shown, changed = "", False
    while (generation := ledger.current(lake, kind, day)) and generation.path != shown:
        shown = generation.path
        if not is_shown(hive, settings, kind, day, shown):
            ensure_day(hive, settings, kind, day, shown)
            changed = True
    _unmark(lake, kind, day, shown)
    return changed


def _unmark(lake: Lake, kind: Kind, day: str, shown: str) -> None:
    marks = set(ledger.unshown(lake, kind, day))
    if not marks:
        return
    for generation in ledger.generations(lake, kind, day):
        if layout.unshown_mark(generation.path) in marks:
            lake.delete(layout.unshown_mark(generation.path))
        if generation.path == shown:
            return
