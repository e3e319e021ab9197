"""supervisord (from PyPI) under our own configuration: it starts the services and restarts what dies."""

from __future__ import annotations

import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from upbit_elt.errors import StackError
from upbit_elt.stack import processes
from upbit_elt.stack.names import REPO
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.polling import becomes_true
from upbit_elt.stack.services import Service

START_TIMEOUT = 20.0
_RUNNING = ("STARTING", "RUNNING")

_DAEMON = """\
[unix_http_server]
file={run}/supervisor.sock
chmod=0700

[supervisord]
logfile={logs}/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
pidfile={run}/supervisord.pid
childlogdir={logs}
directory={repo}
umask=077

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
# Retries: after a failed start supervisord waits one second longer each time and then gives up for good; 100 means
# that it tries for well over an hour.
_PROGRAM = """
[program:{name}]
command={command}
priority={priority}
autostart=false
autorestart=true
startsecs=5
startretries=100
stopasgroup=true
killasgroup=true
stopwaitsecs={stop_seconds}
redirect_stderr=true
stdout_logfile={logs}/{name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
"""


@dataclass(frozen=True)
class State:
    """What supervisord says of one service; `pid` is None when it does not run."""

    name: str
    state: str
    pid: int | None
    message: str

    @property
    def running(self) -> bool:
        """Whether there is a process, or is about to be one."""
        return self.state in _RUNNING


def configuration(stack: StackSettings, services: Iterable[Service]) -> str:
    """Text of `supervisord.conf`. Services start in their order and stop in the reverse one."""
    text = _DAEMON.format(run=stack.run_dir, logs=stack.logs_dir, repo=_escaped(str(REPO)))
    for index, service in enumerate(services):
        text += _PROGRAM.format(
            name=service.name,
            command=_escaped(" ".join(_quoted(word) for word in service.command)),
            priority=100 + index,
            stop_seconds=service.stop_seconds,
            logs=stack.logs_dir,
        )
    return text


class Supervisor:
    """The supervisord of one data folder.

    Every method raises StackError when supervisord does not answer, except `alive`.
    """

    def __init__(self, stack: StackSettings) -> None:
        self._run, self._logs = stack.run_dir, stack.logs_dir

    @property
    def config(self) -> Path:
        """Its configuration file."""
        return self._run / "supervisord.conf"

    def alive(self) -> bool:
        """Whether it answers; a socket without a process behind it does not count."""
        try:
            with self._rpc() as rpc:
                return bool(rpc.getState()["statename"] == "RUNNING")
        except StackError:
            return False

    def start_daemon(self, configuration: str, variables: dict[str, str]) -> None:
        """Write the configuration and start supervisord; its services inherit exactly these variables."""
        self._run.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        self.config.write_text(configuration)
        self._remove_stale()
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.config)]
        done = subprocess.run(
            command, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise StackError(f"supervisord did not start: {(done.stderr or done.stdout).strip()[-500:]}")
        if not becomes_true(self.alive, START_TIMEOUT):
            raise StackError(f"supervisord does not answer: see {self._logs}/supervisord.log")

    def start(self, name: str) -> None:
        """Start a service unless it runs already."""
        if not self.state(name).running:
            with self._rpc() as rpc:
                rpc.startProcess(name, False)

    def state(self, name: str) -> State:
        """State of one service."""
        with self._rpc() as rpc:
            return _state(rpc.getProcessInfo(name))

    def states(self) -> dict[str, State]:
        """State of every service, by name."""
        with self._rpc() as rpc:
            return {info["name"]: _state(info) for info in rpc.getAllProcessInfo()}

    def stop(self, names: Iterable[str], timeout: float) -> None:
        """Stop those of these services that run, all at once, and wait for their end."""
        states = self.states()
        running = [name for name in names if name in states and states[name].running]
        for name in running:
            with self._rpc() as rpc:
                rpc.stopProcess(name, False)
        becomes_true(lambda: not any(state.pid for state in self.states().values() if state.name in running), timeout)

    def shutdown(self, timeout: float) -> bool:
        """Stop all services in order, then supervisord; False when it is still there after `timeout` seconds."""
        with self._rpc() as rpc:
            pid = int(rpc.getPID())
            rpc.shutdown()
        return becomes_true(lambda: not processes.alive(pid), timeout)

    def _remove_stale(self) -> None:
        for name in ("supervisor.sock", "supervisord.pid"):
            (self._run / name).unlink(missing_ok=True)

    @contextmanager
    def _rpc(self) -> Iterator[Any]:
        transport = SupervisorTransport(None, None, f"unix://{self._run}/supervisor.sock")
        try:
            with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
                yield proxy.supervisor
        except (OSError, HTTPException, xmlrpc.client.ProtocolError) as error:
            raise StackError(f"the supervisor does not answer ({error}): ./run starts it") from error
        except xmlrpc.client.Fault as fault:
            raise StackError(f"supervisord refused: {fault.faultString}") from fault


def _state(info: dict[str, Any]) -> State:
    return State(info["name"], info["statename"], info["pid"] or None, info["spawnerr"] or info["description"])


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    return f"'{word}'"
