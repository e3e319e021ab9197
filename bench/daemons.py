"""The NameNode, DataNode and HiveServer2 that a benchmark starts for itself, on free ports, and ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.machine import SHARED_JARS, running
from tests.support.ports import stack_ports
from upbit_elt.settings import Settings
from upbit_elt.stack import jars
from upbit_elt.stack.options import load


@contextmanager
def daemons(folder: Path, **changes: object) -> Iterator[Settings]:
    """Settings that point to daemons which can do their work; `changes` are other settings."""
    jars.fetch(SHARED_JARS)
    stack = load(data_dir=folder, jars_dir=SHARED_JARS, **stack_ports())
    with running(stack, **changes) as machine:
        yield machine.settings
