"""Which release last wrote a state folder: an older one that cannot read what it wrote refuses to start, in one line.

`release.json` in the state folder holds the release and the number of its layout. The number grows only when a release
writes something (lake, tables, databases, state) that the one before does not read; between two releases of one layout
one may go back and forth. What is below is for `./run`, the command line and `airflow-init` of docker compose, whose
`docker/preflight.sh` looks too. Release 0.1.0 wrote no such file and looks for none.
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
    """Raises DataTooNew when a release with a later layout has written to the state folder."""
    release, layout = _last(folder / NAME)
    if layout > LAYOUT:
        raise DataTooNew(
            f"release {release} has written here (layout {layout}; {__version__} reads up to layout {LAYOUT}): "
            f"start {release} or a newer one, or restore a backup of before it into an empty deployment"
        )


def enter(folder: Path) -> None:
    """As `check`; then note that this release writes here."""
    check(folder)
    if _last(folder / NAME) != (__version__, LAYOUT):
        write_atomically(folder / NAME, json.dumps({"release": __version__, "layout": LAYOUT}) + "\n")


def _last(file: Path) -> tuple[str, int]:
    """Release and layout that a file names; layout 0 where there is none, or a damaged one."""
    try:
        said = json.loads(file.read_text())
        return str(said["release"]), int(said["layout"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return "", 0


if __name__ == "__main__":
    try:
        enter(Path(os.environ["UPBIT_ELT_STATE_DIR"]))
    except UpbitEltError as error:
        sys.exit(f"Error: {error}")
