"""Daemons that are killed on purpose and started again, and the seed of a run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import process, wait_until_healthy
from upbit_elt.settings import Settings
from upbit_elt.stack import environment, services
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.services import Service


class Machine:
    """The daemons of this session, by name."""

    def __init__(self, stack: StackSettings, settings: Settings) -> None:
        self.settings = settings
        self._stack = stack
        self._table = {service.name: service for service in services.daemons(stack, settings)}
        self._stacks: dict[str, ExitStack] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self.kills: dict[str, int] = dict.fromkeys(self._table, 0)

    def start(self) -> None:
        for service in self._table.values():
            self._launch(service)
        for service in self._table.values():
            wait_until_healthy(service, self._stack)

    def kill(self, name: str) -> None:
        """kill -9 of a daemon (the entrypoint has become it)."""
        self._children[name].kill()
        self._children[name].wait()
        self.kills[name] += 1

    def revive(self) -> None:
        """Start what is dead, and wait until all can do their work."""
        for name, child in self._children.items():
            if child.poll() is not None:
                self._stacks[name].close()
                self._launch(self._table[name])
        for service in self._table.values():
            wait_until_healthy(service, self._stack)

    def stop(self) -> None:
        for running in self._stacks.values():
            running.close()

    def _launch(self, service: Service) -> None:
        self._stacks[service.name] = ExitStack()
        self._children[service.name] = self._stacks[service.name].enter_context(process(service, self._stack))


@pytest.fixture(scope="session")
def machine(daemon_stack: StackSettings) -> Iterator[Machine]:
    settings = environment.settings_for(
        daemon_stack, dataset="replica", base_url=daemon_stack.replica_url, flask_token="test-token"
    )
    running = Machine(daemon_stack, settings)
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def daemons(machine: Machine) -> Settings:
    return machine.settings


@pytest.fixture(scope="session")
def seed() -> int:
    """UPBIT_FAULT_SEED makes another run; each prints its own."""
    return int(os.environ.get("UPBIT_FAULT_SEED", "20261125"))
