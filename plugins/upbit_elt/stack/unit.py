"""The stack as a unit of systemd, of the user who runs it: `./run service` prints it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from upbit_elt.settings import Settings
from upbit_elt.stack.names import REPO
from upbit_elt.stack.options import StackSettings

NAME = "upbit-elt"
# What ./run reads beside its own settings.
_OTHERS = ("JAVA_HOME", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_SECRET = [name for name, field in Settings.model_fields.items() if field.annotation is SecretStr]

_UNIT = """\
# Written by ./run service{options}. To have it start with this machine, and again when it fails:
#   mkdir -p ~/.config/systemd/user && ./run service{options} > ~/.config/systemd/user/{name}.service
#   systemctl --user daemon-reload && systemctl --user enable --now {name}
#   sudo loginctl enable-linger "$USER"     # without it all ends when you sign out
# ./run stop first, if it was started by hand.
# journalctl --user -u {name} has what ./run says; ./run status and ./run logs work as always.
# A setting changed: print the unit again, daemon-reload, restart. Passwords are not taken over: add them by
# systemctl --user edit {name}, as Environment=.
[Unit]
Description=upbit-elt: Upbit's minute candles in HDFS, Hive and Airflow
Documentation=file://{repo}/README.md
# the network may come later than this: it tries again until it is there
StartLimitIntervalSec=0

[Service]
Type=forking
# supervisord, which restarts the services; one killed for want of memory does not end the others
PIDFile={pidfile}
OOMPolicy=continue
WorkingDirectory={folder}
{environment}\
# "-": candles that do not come, as when the exchange is away, are no reason to restart everything
ExecStart=-{start}
ExecStop={stop}
Restart=on-failure
RestartSec=30
# the first start fetches packages and jars
TimeoutStartSec=1h
TimeoutStopSec=3min
KillMode=mixed
LimitNOFILE=65536

[Install]
WantedBy=default.target
"""


def text(
    stack: StackSettings, *, exchange: str | None, replay: Path | None, given: Mapping[str, str] = os.environ
) -> str:
    """The unit's file. It has those variables of `given` that `./run` reads, but for passwords, and starts what
    `./run --exchange ... --replay ...` would.
    """
    run = REPO / "run"
    options = [*(["--exchange", exchange] if exchange else []), *(["--replay", str(replay)] if replay else [])]
    variables = {name: value for name, value in sorted(given.items()) if _is_wanted(name) and value}
    # the folder is the one of now, whatever folder systemd starts in
    variables["UPBIT_RUN_DATA_DIR"] = str(stack.data_dir)
    variables["PATH"] = given.get("PATH", os.defpath)
    return _UNIT.format(
        name=NAME,
        options="".join(f" {shlex.quote(word)}" for word in options),
        repo=_plain(str(REPO)).replace(" ", "%%20"),
        pidfile=_plain(str(stack.run_dir / "supervisord.pid")),
        folder=_plain(str(REPO)),
        environment="".join(f"Environment={_quoted(f'{name}={value}')}\n" for name, value in variables.items()),
        start=" ".join(_argument(part) for part in (str(run), *options)),
        stop=" ".join(_argument(part) for part in (str(run), "stop")),
    )


def _is_wanted(name: str) -> bool:
    secret = name.removeprefix("UPBIT_ELT_").lower() in _SECRET
    return name in _OTHERS or (name.startswith(("UPBIT_RUN_", "UPBIT_ELT_", "UPBIT_BASE_URL")) and not secret)


def _plain(value: str) -> str:
    """A value as systemd takes it literally where it does not split words: % begins a specifier."""
    return value.replace("%", "%%")


def _quoted(value: str) -> str:
    return '"' + _plain(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _argument(value: str) -> str:
    """A word of a command: there, $ begins a variable too."""
    return _quoted(value.replace("$", "$$"))
