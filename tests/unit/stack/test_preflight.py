from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from upbit_elt.errors import StackError
from upbit_elt.stack import preflight
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.services import Service


def service(*ports: str) -> Service:
    return Service("hiveserver2", ("true",), lambda: None, ports)


def test_a_taken_port_is_named_with_its_setting_and_its_owner(stack: StackSettings) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        taken = stack.model_copy(update={"hive_port": port})
        with pytest.raises(StackError) as caught:
            preflight.check_ports(taken, [service("hive_port")])
    for words in (f"port {port}", "hiveserver2", "UPBIT_RUN_HIVE_PORT", f"pid {os.getpid()}"):
        assert words in str(caught.value)


def test_free_ports_pass(stack: StackSettings) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    preflight.check_ports(stack.model_copy(update={"hive_port": port}), [service("hive_port")])


def test_a_full_disk_is_refused_before_the_folder_exists(stack: StackSettings) -> None:
    assert not stack.data_dir.exists()
    with pytest.raises(StackError, match=r"only [\d.]+ GB are free .* UPBIT_RUN_DATA_DIR"):
        preflight.check_disk(stack.model_copy(update={"min_free_gb": 1e9}))
    preflight.check_disk(stack.model_copy(update={"min_free_gb": 0.0}))
    assert preflight.free_gb(Path("/")) > 0
