"""The commands behind `./run`."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from upbit_elt.errors import ConfigError, UpbitEltError
from upbit_elt.stack import airflow, choice, doctor, halt, plan, preflight, status, unit
from upbit_elt.stack import backup as backing_up
from upbit_elt.stack import up as starting
from upbit_elt.stack.choice import Choice
from upbit_elt.stack.names import variable
from upbit_elt.stack.options import StackSettings, load
from upbit_elt.stack.waiting import ProgressLine
from upbit_elt.stack.watchdog import Watchdog
from upbit_elt.terminal import console

_LOG_LINE = "%(asctime)s %(levelname)s %(message)s"


class _Commands(click.Group):
    """Without a command, or with options alone, it is `up`; our own errors become one line and exit code 1."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ("--help", "-h")):
            args = ["up", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        # libraries (thrift) log every refused connection; we say ourselves what is wrong
        logging.getLogger().addHandler(logging.NullHandler())
        try:
            return super().invoke(ctx)
        except UpbitEltError as error:
            raise click.ClickException(str(error)) from None
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]).upper()
            name = name if name.startswith("UPBIT_") else f"UPBIT_ELT_{name}"
            raise click.ClickException(f"wrong setting {name}: {first['msg']} (it is {first['input']!r})") from None
        except OSError as error:
            raise click.ClickException(f"{error.filename or 'the system'}: {error.strerror or error}") from None


def _settings() -> str:
    """The settings of this machine's stack with their defaults, as the end of the help text."""
    rows = [
        (variable(name), field.default, field.description)
        for name, field in StackSettings.model_fields.items()
        if name not in ("exchange", "replay")  # options are the plainer way
    ]
    lines = [f"  {name:<32} {'' if default is None else default}  {what}" for name, default, what in rows]
    head = "\b\nSettings are environment variables, the same for every command:"
    return "\n".join([head, *lines, "Markets, history, the exchange's address and more: README.md, Settings."])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_settings())
def main() -> None:
    """Start, watch and stop the whole system on this machine.

    Without a command it starts everything: ./run [--exchange upbit|replica] [--replay FOLDER].
    ./run env --help is about docker compose.
    """


@main.command()
@click.option("--exchange", type=click.Choice(["upbit", "replica"]), help="Default: Upbit if it answers.")
@click.option("--replay", type=click.Path(path_type=Path), help="Folder of Parquet candles for the replica to replay.")
def up(exchange: str | None, replay: Path | None) -> None:
    """Start everything (the default)."""
    starting.up(_stack(exchange=exchange, replay=replay), console())


@main.command(name="status")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def print_status(as_json: bool) -> None:
    """Show how far the data is and which service is healthy.

    Exit code 0: every service is healthy, every market fresh, and no DAG fails. 1: something of it is not so, and the
    lines say what. 2: a wrong option.
    """
    stack = _stack()
    found = status.read(stack, plan.make(stack, _remembered(stack)))
    if as_json:
        click.echo(found.model_dump_json(indent=2))
    else:
        status.render(found, console())
    sys.exit(0 if found.well else 1)


@main.command()
def passwords() -> None:
    """Print where to sign in, and with which password."""
    stack = _stack()
    planned = plan.make(stack, _remembered(stack))
    found = status.addresses(stack, planned.settings.page_url)
    click.echo(f"Airflow   {found['airflow']}   user {airflow.USER}, password {planned.secrets.airflow_password}")
    click.echo(f"Hive      {found['hive']}   any user name, any password")
    click.echo(f"page      {found['page']}   without a password")


@main.command()
@click.argument("name", default="")
@click.option("-n", "--lines", default=100, show_default=True, help="How many lines.")
@click.option("-f", "--follow", is_flag=True, help="Go on printing new lines.")
def logs(name: str, lines: int, follow: bool) -> None:
    """Print the log of a service; without a NAME, say which there are."""
    stack = _stack()
    known = sorted(path.stem for path in stack.logs_dir.glob("*.log"))
    if name not in known:
        reason = f"no log of {name!r}" if name else "which log? ./run logs NAME"
        raise ConfigError(f"{reason}; there is: {', '.join(known) or 'none yet'}")
    os.execvp("tail", ["tail", "-n", str(lines), *(["-F"] if follow else []), str(stack.logs_dir / f"{name}.log")])  # noqa: S606, S607


@main.command(name="exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(command: tuple[str, ...]) -> None:
    """Run a command with this stack's settings, as `./run exec python -m upbit_elt verify`."""
    stack = _stack()
    here = plan.make(stack, _remembered(stack)).environment
    here["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{here['PATH']}"
    if (program := shutil.which(command[0], path=here["PATH"])) is None:
        raise ConfigError(f"there is no program {command[0]!r} on this machine, nor among the stack's Python packages")
    os.execve(program, list(command), here)  # noqa: S606 - the user's own command


@main.command()
def stop() -> None:
    """End every process of the stack; the data stays."""
    count = halt.halt(_stack())
    click.echo(f"stopped ({count} processes ended)" if count else "nothing was running")


@main.command()
@click.option("--exchange", type=click.Choice(["upbit", "replica"]), help="As of up.")
@click.option("--replay", type=click.Path(path_type=Path), help="As of up.")
def service(exchange: str | None, replay: Path | None) -> None:
    """Print a unit for systemd that starts everything with this machine; its first lines say how to install it."""
    stack = _stack(exchange=exchange, replay=replay)
    click.echo(unit.text(stack, exchange=exchange, replay=stack.replay), nl=False)


@main.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), required=False)
@click.option("--daily", is_flag=True, hidden=True, help="One a day, for ever: the service `backup`.")
def backup(folder: Path | None, *, daily: bool) -> None:
    """Make a backup of the running stack now: a new folder in FOLDER (default: UPBIT_ELT_BACKUP_FOLDER)."""
    logging.basicConfig(level=logging.WARNING, format=_LOG_LINE, stream=sys.stdout, force=True)
    logging.getLogger("upbit_elt").setLevel(logging.INFO if daily else logging.WARNING)
    stack = _stack()
    settings = plan.make(stack, _remembered(stack)).settings
    into = folder or settings.backup_folder
    if into is None:
        raise ConfigError("say where: ./run backup FOLDER, or set UPBIT_ELT_BACKUP_FOLDER")
    if daily:
        backing_up.daily(stack, settings, into)
    click.echo(backing_up.once(stack, settings, into.resolve()))


@main.command()
@click.argument("backup", type=click.Path(exists=True, file_okay=False, path_type=Path))
def restore(backup: Path) -> None:
    """Bring a backup of `backup` back, into a data folder without data; then: ./run."""
    stack = _stack()
    with ProgressLine(console()) as progress:
        files = backing_up.restore(stack, backup, progress)
    click.echo(
        f"{files} files are back; next: ./run, then for Hive's tables ./run exec airflow dags trigger housekeeping"
    )


@main.command(name="watchdog", hidden=True)
def watch() -> None:
    """Restart services that hang, for ever: the service `watchdog` of a running stack."""
    logging.basicConfig(level=logging.WARNING, format=_LOG_LINE, stream=sys.stdout, force=True)
    stack = _stack()
    watched = [service for service in plan.make(stack, _remembered(stack)).services if service.name != "watchdog"]
    Watchdog(stack, watched).run()


@main.command(name="doctor")
def see_doctor() -> None:
    """Look for what is wrong with this machine or the running stack; exit code 1 if something is."""
    sys.exit(0 if doctor.render(doctor.examine(_stack()), console()) else 1)


def _stack(**given: object) -> StackSettings:
    """The settings, of a data folder that is ours."""
    stack = load(**given)
    preflight.check_owner(stack)
    return stack


def _remembered(stack: StackSettings) -> Choice:
    memory = choice.recall(stack)
    if memory is None:
        raise ConfigError(f"nothing has been started with the data folder {stack.data_dir} yet: ./run")
    return Choice(memory.exchange, memory.replay)
