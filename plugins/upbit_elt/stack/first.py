"""What can be known before anything is downloaded: `./run` lets the machine's own Python check it at every start.

Packages are not there yet, so this is the standard library and those of our modules that need no more.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from upbit_elt.errors import ConfigError, StackError
from upbit_elt.stack import java, preflight
from upbit_elt.stack.names import GREATEST_OFFSET, PORTS, REPO, variable

PACKAGES_GB = 9.0  # torch alone takes most
JARS_GB = 0.5


@dataclass(frozen=True)
class FirstSettings:
    """The settings that the checks need, as `StackSettings` reads them; no packages are there for that one yet."""

    data_dir: Path
    jars: Path
    min_free_gb: float
    min_memory_gb: float
    ports: Mapping[str, int]


def read(given: Mapping[str, str]) -> FirstSettings:
    """The settings in an environment.

    Raises:
        ConfigError: a value is no number, or out of its bounds; the message names each.
    """
    wrong: list[str] = []

    def number(name: str, default: float, least: float, most: float) -> float:
        text = given.get(variable(name), str(default))
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            wrong.append(f"{variable(name)} is a number from {least:g} to {most:g}, not {text!r}")
            return default
        return value

    data_dir = _folder(given.get(variable("data_dir")), REPO / ".data")
    offset = int(number("port_offset", 0, 0, GREATEST_OFFSET))
    found = FirstSettings(
        data_dir=data_dir,
        jars=_folder(given.get(variable("jars_dir")), data_dir / "jars"),
        min_free_gb=number("min_free_gb", preflight.MIN_FREE_GB, 0, 1e9),
        min_memory_gb=number("min_memory_gb", preflight.MIN_MEMORY_GB, 0, 1e9),
        ports={name: int(number(name, port + offset, 1, 65535)) for name, port in PORTS.items()},
    )
    if wrong:
        raise ConfigError("wrong settings: " + "; ".join(wrong))
    return found


def troubles(
    settings: FirstSettings, *, replica: bool, venv: Path = REPO / ".venv", javas: Path = java.INSTALLED
) -> list[str]:
    """Everything that a start would stop at, each with what to do; the replica's port counts if it is to run.

    Of another user's data folder nothing else is looked at: most of it may not be read, and ports are taken by it.
    """
    if found := strangers(settings):
        return found
    checks: list[Callable[[], None]] = [
        lambda: preflight.check_drive(settings),
        lambda: preflight.check_memory(settings),
        lambda: _check_room(settings, venv),
        lambda: preflight.check_ports(settings, (name for name in PORTS if replica or name != "replica_port")),
        lambda: _check_java(javas),
    ]
    return [*_raised(checks)]


def strangers(settings: FirstSettings) -> list[str]:
    """Whose the data folder is and what to do, when it is another user's; else nothing."""
    return [*_raised([lambda: preflight.check_owner(settings)])]


def _raised(checks: Iterable[Callable[[], None]]) -> Iterable[str]:
    for check in checks:
        try:
            check()
        except StackError as error:
            yield str(error)
        except OSError as error:  # a folder of jars, say, that may not be looked into
            yield f"{error.filename or 'the system'}: {error.strerror or error}"


def _check_room(settings: FirstSettings, venv: Path) -> None:
    """Room for all that a first start brings, where several of it go to one disk too."""
    needs = {"data": (settings.data_dir, settings.min_free_gb)}
    if not (venv / ".stamp-requirements.txt").exists():
        needs["Python packages"] = (venv, PACKAGES_GB)
    if not all((settings.jars / name / ".stamp").exists() for name in ("hadoop", "hive")):
        needs["jars"] = (settings.jars, JARS_GB)
    disks: dict[int, list[str]] = {}
    for what, (folder, _) in needs.items():
        disks.setdefault(preflight.existing(folder).stat().st_dev, []).append(what)
    for names in disks.values():
        needed, folder = sum(needs[name][1] for name in names), needs[names[0]][0]
        if (free := preflight.free_gb(folder)) < needed:
            parts = ", ".join(f"{name} {needs[name][1]:g}" for name in names)
            raise StackError(
                f"only {free:.1f} GB are free for {folder}, {needed:g} GB are needed ({parts}): make room, "
                f"or choose another disk for the data with {variable('data_dir')}"
            )


def _check_java(installed: Path) -> None:
    """A Java that is too old is named now; none at all is for the set-up, which may install one."""
    if java.found(installed):
        java.java_home(installed)


def _folder(text: str | None, default: Path) -> Path:
    return Path(text).expanduser().resolve() if text else default


def main(arguments: list[str], given: Mapping[str, str] = os.environ) -> int:
    """Print what stands in the way of `./run ARGUMENTS`; the exit code is 1 if anything does.

    With `--owner` alone it is only whose the data folder is.
    """
    replica = {"replica", "--exchange=replica"} & {*arguments, given.get(variable("exchange"))}
    replay = [word for word in arguments if word.startswith("--replay")] or given.get(variable("replay"))
    try:
        settings = read(given)
        found = strangers(settings) if arguments == ["--owner"] else troubles(settings, replica=bool(replica or replay))
    except ConfigError as error:
        found = [str(error)]
    for trouble in found:
        sys.stderr.write(f"Error: {trouble}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
