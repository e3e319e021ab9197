"""Taken ports: one message that names all, who has them, and what moves them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.ports import stack_ports
from upbit_elt.errors import StackError
from upbit_elt.stack import ports, preflight
from upbit_elt.stack.names import MARKER, PORTS, variable
from upbit_elt.stack.options import StackSettings

LISTENS = """
import socket, sys
held = [socket.create_server(("127.0.0.1", int(port))) for port in sys.argv[1:]]
print("up", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def there(stack: StackSettings) -> StackSettings:
    """A stack whose ports all are free."""
    return stack.model_copy(update=stack_ports())


@pytest.fixture
def other(there: StackSettings, tmp_path: Path) -> Iterator[Path]:
    """The data folder of another stack, which listens on all of these ports."""
    folder = tmp_path / "other"
    command = [sys.executable, "-c", LISTENS, *map(str, there.ports.values())]
    with subprocess.Popen(
        command, env=os.environ | {MARKER: str(folder)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield folder
        process.kill()


def test_free_ports_pass(there: StackSettings) -> None:
    preflight.check_ports(there, PORTS)


def test_a_taken_port_is_named_with_its_setting_and_its_owner(there: StackSettings) -> None:
    with socket.create_server(("127.0.0.1", there.hive_port)), pytest.raises(StackError) as caught:
        preflight.check_ports(there, PORTS)
    port = f"{there.hive_port} (UPBIT_RUN_HIVE_PORT)"
    for words in ("1 port is taken", port, f"(pid {os.getpid()})", "end what has it"):
        assert words in str(caught.value)


def test_another_stack_on_all_ports_is_one_message_which_says_whose_it_is_and_moves_all(
    there: StackSettings, other: Path
) -> None:
    with pytest.raises(StackError) as caught:
        preflight.check_ports(there, PORTS)
    first, second, last = str(caught.value).splitlines()
    assert first == f"{len(PORTS)} ports are taken:"
    assert second.endswith(f" by the stack in {other}")
    assert all(f"{port} ({variable(name)})" in second for name, port in there.ports.items())
    assert f"UPBIT_RUN_DATA_DIR={other} ./run stop" in last
    assert "export UPBIT_RUN_PORT_OFFSET=" in last


def test_ports_of_this_stack_itself_do_not_count_as_taken(there: StackSettings, other: Path) -> None:
    preflight.check_ports(there.model_copy(update={"data_dir": other}), PORTS)


def test_tables_that_are_stored_under_a_port_do_not_move(there: StackSettings) -> None:
    there.data_dir.mkdir()
    (there.data_dir / "stack.json").touch()
    with socket.create_server(("127.0.0.1", there.hive_port)), pytest.raises(StackError) as caught:
        preflight.check_ports(there, PORTS)
    assert "PORT_OFFSET" not in str(caught.value)


def test_an_unknown_owner_of_a_port_is_called_another_process() -> None:
    container = ports.Holder(7, "docker-proxy")
    found = [ports.Taken("flask_port", 5000, ports.Holder()), ports.Taken("hive_port", 1, container)]
    lines = ports.advice(found, movable=False).splitlines()
    assert lines[1] == "  5000 (UPBIT_RUN_FLASK_PORT) by another process"
    assert lines[2] == "  1 (UPBIT_RUN_HIVE_PORT) by a container (docker ps names it)"


def test_a_port_that_is_bound_on_ipv6_alone_has_a_holder_too() -> None:
    """Java listens so, also for IPv4."""
    with ExitStack() as held:
        try:
            server = held.enter_context(socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True))
        except OSError:
            pytest.skip("no IPv6 here")
        (found,) = ports.taken({"hive_port": server.getsockname()[1]}, Path("/nowhere"))
    assert found.holder.pid == os.getpid()
