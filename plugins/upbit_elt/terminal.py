"""Text for people, on a terminal or in a file."""

from __future__ import annotations

import os
import sys

from rich.console import Console

_WIDE = 1000  # width when none is known: lines are then not wrapped


def console(*, stderr: bool = False, soft_wrap: bool = False) -> Console:
    """Make a console on standard output or error, as wide as the terminal (or `COLUMNS`); lines of files stay whole."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _WIDE
    return Console(stderr=stderr, soft_wrap=soft_wrap, width=width)
