"""What can happen to a call that leaves the process: to HDFS, to Hive, to the exchange.

Each fake at the edge calls its `watch` before it carries out a call, and does with the call what the result says.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple


class Killed(BaseException):
    """Stands for a kill -9: nothing catches it."""


class Call(NamedTuple):
    """A call at the edge: `hdfs` with the WebHDFS operation and path, `hive` with the statement's first word and the
    statement, `http` with GET and the path and query."""

    edge: str
    name: str
    target: str


class Fault(Enum):
    """What comes of a call.

    The caller dies before it, in the middle of a body, or after it; the call never arrives; it is carried out and the
    answer is lost; a body is cut on its way; it fails; it is slow.
    """

    NONE = auto()
    DIES_BEFORE = auto()
    DIES_HALFWAY = auto()
    DIES_AFTER = auto()
    NEVER_ARRIVES = auto()
    ANSWER_LOST = auto()
    CUT = auto()
    REFUSED = auto()
    SLOW = auto()


Watch = Callable[[Call], Fault]


def inactive(call: Call) -> Fault:
    """Nothing happens to any call."""
    return Fault.NONE
