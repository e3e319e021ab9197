"""Where a stack is between `./run` and `./run stop`: one that starts, or was stopped, is not broken."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from filelock import FileLock, Timeout

from upbit_elt.stack import airflow, processes
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.supervision import State


class Phase(StrEnum):
    """What a stack as a whole is doing."""

    STOPPED = "stopped"
    STARTING = "starting"
    UNFINISHED = "unfinished"
    UP = "up"

    @property
    def words(self) -> str | None:
        """What that means and what to do; None for one that is up."""
        return _WORDS.get(self)


_WORDS = {
    Phase.STOPPED: "stopped: ./run starts it and goes on with the data that is there",
    Phase.STARTING: "./run is at it and says what it waits for; what is not healthy yet is nothing to worry about",
    Phase.UNFINISHED: (
        "no DAG runs and nothing is collected yet: the first start has not ended; if it gave up, ./run goes on with it"
    ),
}


def lock(stack: StackSettings) -> Path:
    """The file that `./run` holds while it starts the stack."""
    return stack.run_dir / "up.lock"


def find(stack: StackSettings, alive: bool) -> Phase:
    """The phase of a stack; `alive` says whether its supervisor answers."""
    if starting(stack):
        return Phase.STARTING
    if not alive and not processes.members(stack.data_dir):
        return Phase.STOPPED
    return Phase.UP if airflow.unpaused_file(stack).exists() else Phase.UNFINISHED


def starting(stack: StackSettings) -> bool:
    """Whether a `./run` is starting it right now."""
    if not lock(stack).exists():
        return False
    try:
        with FileLock(lock(stack), timeout=0):
            return False
    except Timeout:
        return True


def expected(state: State | None) -> bool:
    """Whether a service in this state may become healthy by waiting alone: it runs, or is not its turn yet."""
    return state is None or state.running or state.state == "STOPPED"
