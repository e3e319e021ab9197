"""The daemons of a test run, which a test may kill and start again."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType

import pytest

from upbit_elt.settings import Settings
from upbit_elt.stack import environment, services
from upbit_elt.stack.names import REPO
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.patience import Patience, Work
from upbit_elt.stack.services import Service
from upbit_elt.stack.waiting import until

SHARED_JARS = Path(os.environ.get("UPBIT_RUN_JARS_DIR", REPO / ".data" / "jars"))


class Machine:
    """NameNode, DataNode and HiveServer2, by name; `settings` point to them, `kills` counts."""

    def __init__(self, stack: StackSettings, settings: Settings) -> None:
        self.settings = settings
        self._stack = stack
        self._table = {service.name: service for service in services.daemons(stack, settings)}
        self._stacks: dict[str, ExitStack] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self.kills: dict[str, int] = dict.fromkeys(self._table, 0)

    def start(self) -> None:
        """Start all, and wait until they can do their work."""
        for service in self._table.values():
            self._launch(service)
        for service in self._table.values():
            wait_until_healthy(service, self._stack)

    def kill(self, name: str) -> None:
        """kill -9 of a daemon (the entrypoint has become it)."""
        self._children[name].kill()
        self._children[name].wait()
        self.kills[name] += 1

    @contextmanager
    def paused(self) -> Iterator[None]:
        """All of them frozen for the block, as on a laptop that sleeps."""
        children = [child.pid for child in self._children.values()]
        for pid in children:
            os.killpg(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in children:
                os.killpg(pid, signal.SIGCONT)

    @property
    def services(self) -> list[Service]:
        """What it runs."""
        return list(self._table.values())

    def revive(self) -> None:
        """Start what is dead, and wait until all can do their work."""
        for name, child in self._children.items():
            if child.poll() is not None:
                self._stacks[name].close()
                self._launch(self._table[name])
        for service in self._table.values():
            wait_until_healthy(service, self._stack)

    def stop(self) -> None:
        """End all."""
        for running in self._stacks.values():
            running.close()

    def _launch(self, service: Service) -> None:
        self._stacks[service.name] = ExitStack()
        self._children[service.name] = self._stacks[service.name].enter_context(
            process(service, self._stack, {"STACK_MERGE_LOOK": "2"})
        )


@contextmanager
def running(stack: StackSettings, **changes: object) -> Iterator[Machine]:
    """The daemons of a stack's folder and ports for the block; `changes` are settings of the pipeline on them."""
    machine = Machine(stack, environment.settings_for(stack, **changes))
    try:
        machine.start()
        yield machine
    finally:
        machine.stop()


@contextmanager
def process(
    service: Service, stack: StackSettings, more: Mapping[str, str] = MappingProxyType({})
) -> Iterator[subprocess.Popen[bytes]]:
    """One service as a child of the test; its log is `logs/NAME.log` in the data folder. `more` are variables."""
    stack.logs_dir.mkdir(parents=True, exist_ok=True)
    variables = os.environ | environment.common(stack) | environment.hadoop(stack) | dict(more)
    with (
        (stack.logs_dir / f"{service.name}.log").open("ab") as log,
        subprocess.Popen(
            service.command, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        ) as child,
    ):
        try:
            yield child
        finally:
            _end(child, service.stop_seconds)


def _end(child: subprocess.Popen[bytes], seconds: float) -> None:
    if child.poll() is not None:
        return
    os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)


def wait_until_healthy(service: Service, stack: StackSettings) -> None:
    """Poll the service's own check; fails with its last words when its patience is over."""
    log = stack.logs_dir / f"{service.name}.log"
    patience = Patience(service.patience, lambda: Work(1, 0.0, log.stat().st_size))
    if trouble := until(service.check, patience, lambda _: None):
        words = log.read_text(errors="replace")[-3000:]
        pytest.fail(f"{service.name} is not healthy: {trouble} (waited {patience.words})\n{words}")
