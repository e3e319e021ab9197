"""Text for people, on a terminal or in a file."""

from __future__ import annotations

import os
import sys

from rich.console import Console

_WIDE = 1000  # where nobody says how wide it is, lines are as long as their text


def console(*, stderr: bool = False, soft_wrap: bool = False) -> Console:
    """A console on standard output or error: as wide as the terminal (or `COLUMNS`); a file gets no line folded."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _WIDE
    return Console(stderr=stderr, soft_wrap=soft_wrap, width=width)
