"""What a data folder remembers from one start to the next: the exchange, and the address in its metastore."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from upbit_elt.errors import StackError
from upbit_elt.files import write_atomically
from upbit_elt.settings import Settings
from upbit_elt.stack import health
from upbit_elt.stack.names import GREATEST_OFFSET, PORTS, variable
from upbit_elt.stack.options import Exchange, StackSettings

PROBE_TIMEOUT = 5.0


class RememberedChoice(BaseModel):
    """Content of `stack.json` in the data folder."""

    model_config = ConfigDict(frozen=True)

    exchange: Exchange
    replay: Path | None = None
    namenode_port: int

    def save(self, stack: StackSettings) -> None:
        """Write it to the data folder."""
        write_atomically(_file(stack), self.model_dump_json(indent=2))


class Choice(NamedTuple):
    """The exchange of this start; `reason` says why it is the replica without having been chosen, else None."""

    exchange: Exchange
    replay: Path | None
    reason: str | None = None


def recall(stack: StackSettings) -> RememberedChoice | None:
    """What the folder remembers; None before the first start.

    Raises:
        StackError: the file is damaged, or the NameNode's port is not the one that the metastore has stored.
    """
    path = _file(stack)
    if not path.exists():
        return None
    try:
        memory = RememberedChoice.model_validate_json(path.read_text())
    except ValidationError:
        raise StackError(f"{path} is damaged; remove it (and give --exchange and the ports as before)") from None
    if memory.namenode_port != stack.namenode_port:
        raise StackError(
            f"the tables in {stack.data_dir} are stored under hdfs://127.0.0.1:{memory.namenode_port}: "
            f"set the ports as they were then, {_as_then(memory.namenode_port)} (it is {stack.namenode_port} now), "
            "or choose another data folder with UPBIT_RUN_DATA_DIR"
        )
    return memory


def move(stack: StackSettings) -> None:
    """Take over what a data folder of another stack, whose tables are not here, remembers."""
    memory = RememberedChoice.model_validate_json(_file(stack).read_text())
    memory.model_copy(update={"namenode_port": stack.namenode_port}).save(stack)


def choose(stack: StackSettings, memory: RememberedChoice | None, base_url: str) -> Choice:
    """The exchange to use: the chosen one, else the remembered one, else Upbit if it answers, else the replica."""
    if stack.replay or stack.exchange:
        return Choice("replica" if stack.replay else stack.exchange or "upbit", stack.replay)
    if memory:
        reason = "the first start with this data folder chose it" if memory.exchange == "replica" else None
        return Choice(memory.exchange, memory.replay, reason)
    trouble = health.exchange(base_url, PROBE_TIMEOUT)()
    if trouble is None:
        return Choice("upbit", None)
    return Choice("replica", None, f"{base_url} does not answer: {trouble}")


def is_made(stack: StackSettings) -> bool:
    """Whether the exchange is given or remembered; else it depends on whether Upbit answers. Raises as `recall`."""
    return bool(stack.replay or stack.exchange or recall(stack))


def dataset(choice: Choice, settings: Settings) -> str:
    """Name under which the data lives: replicas, replays and other exchanges never mix with Upbit's."""
    if choice.exchange == "replica":
        return "replay" if choice.replay else "replica"
    return settings.dataset


def _as_then(namenode_port: int) -> str:
    """The setting of the NameNode's port, and the offset that it may have come from."""
    offset = namenode_port - PORTS["namenode_port"]
    alone = f"{variable('namenode_port')}={namenode_port}"
    return f"{variable('port_offset')}={offset} or {alone}" if 0 <= offset <= GREATEST_OFFSET else alone


def _file(stack: StackSettings) -> Path:
    return stack.data_dir / "stack.json"
