"""Ports for what a test starts, which nobody else takes before it listens there.

The kernel gives outgoing connections ports of a range of its own, and the lanes of ./test make thousands of them: these
lie below it. Each process takes from another part, and no port twice.
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from itertools import count

from upbit_elt.stack.names import PORTS

FIRST, EACH, PARTS = 20_000, 64, 190
_ports = count(FIRST + EACH * (os.getpid() % PARTS))


def free_ports(number: int) -> list[int]:
    """So many free loopback ports, all different."""
    with ExitStack() as held:
        found: list[int] = []
        while len(found) < number:
            port, one = next(_ports), held.enter_context(socket.socket())
            try:
                one.bind(("127.0.0.1", port))
            except OSError:  # somebody listens there
                continue
            found.append(port)
        return found


def stack_ports() -> dict[str, int]:
    """A free loopback port for every port of the stack, by setting name."""
    return dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
