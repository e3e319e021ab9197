"""Records which release last wrote a state folder, and stops an older release that cannot read its data.

`release.json` in the state folder holds the release and the number of its layout. The number grows only when a release
writes something (lake, tables, databases, state) that the release before cannot read; between releases of one layout
up- and downgrades are possible. `./run`, the command line, and `airflow-init` of docker compose use this module;
`docker/preflight.sh` checks the same. Release 0.1.0 neither wrote nor read this file.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from upbit_elt import __version__
from upbit_elt.errors import DataTooNew, UpbitEltError
from upbit_elt.files import write_atomically

LAYOUT = 1
NAME = "release.json"


def check(folder: Path) -> None:
    """Check that this release can read the state folder. Raises DataTooNew when its layout is later than LAYOUT."""
    release, layout = _last(folder / NAME)
    if layout > LAYOUT:
        raise DataTooNew(
            f"release {release} has written here (layout {layout}; {__version__} reads up to layout {LAYOUT}): "
            f"start {release} or a newer one, or restore a backup of before it into an empty deployment"
        )


def enter(folder: Path) -> None:
    """Check as `check` does, then record that this release writes here."""
    check(folder)
    if _last(folder / NAME) != (__version__, LAYOUT):
        write_atomically(folder / NAME, json.dumps({"release": __version__, "layout": LAYOUT}) + "\n")


def _last(file: Path) -> tuple[str, int]:
    """Release and layout in a file; layout 0 when it is missing or damaged."""
    try:
        record = json.loads(file.read_text())
        return str(record["release"]), int(record["layout"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return "", 0


if __name__ == "__main__":
    try:
        enter(Path(os.environ["UPBIT_ELT_STATE_DIR"]))
    except UpbitEltError as error:
        sys.exit(f"Error: {error}")
