"""What one start consists of: the exchange, our settings, the services in order, and their environment."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from upbit_elt.settings import Settings
from upbit_elt.stack import airflow, choice, environment, secrets, services, supervision
from upbit_elt.stack.choice import Choice
from upbit_elt.stack.names import REPO
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.secrets import Secrets
from upbit_elt.stack.services import Service

# What services read when they start, and then no more. (Airflow reads `dags` all the time.)
READ_AT_START = ("plugins", "flask_app", "hive", "hadoop-conf", "docker/hadoop", "requirements.txt")


@dataclass(frozen=True)
class StackPlan:
    """Services in starting order; all of them get the same `variables` over the environment of `./run`.

    `code` is the hash of what they run, as `code_in` makes it.
    """

    choice: Choice
    settings: Settings
    secrets: Secrets
    services: list[Service]
    variables: dict[str, str]
    configuration: str
    code: str

    @property
    def ports(self) -> list[str]:
        """Names of the settings that are ports of these services."""
        return [name for service in self.services for name in service.ports]

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of every service."""
        return os.environ | self.variables

    @property
    def digest(self) -> str:
        """Changes when a running stack would have to be restarted to follow this plan."""
        lines = [self.code, self.configuration, *(f"{name}={value}" for name, value in sorted(self.variables.items()))]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def make(stack: StackSettings, chosen: Choice) -> StackPlan:
    """The plan for a choice. Makes the secrets when there are none yet.

    Raises:
        StackError: Java is missing, or the file of the secrets is damaged.
        pydantic.ValidationError: an `UPBIT_ELT_*` variable is wrong.
    """
    secret_values = secrets.load(stack.data_dir / "secrets.json")
    settings = _settings(stack, chosen, secret_values)
    table = _services(stack, chosen, settings)
    variables = (
        environment.common(stack)
        | environment.hadoop(stack)
        | environment.application(settings)
        | airflow.variables(stack, secret_values)
        | airflow.connections(stack, settings)
        | environment.proxies()
    )
    return StackPlan(
        chosen, settings, secret_values, table, variables, supervision.configuration(stack, table), code_in(REPO)
    )


def code_in(repo: Path) -> str:
    """Hash of every file below `repo` that a service reads when it starts; not of what Python and tools keep there."""
    roots = [repo / name for name in READ_AT_START]
    files = sorted(file for root in roots for file in [root, *root.rglob("*")] if file.is_file())
    found = hashlib.sha256()
    for file in files:
        name = file.relative_to(repo)
        if not any(part == "__pycache__" or part.startswith(".") for part in name.parts):
            found.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


def _settings(stack: StackSettings, chosen: Choice, secret_values: Secrets) -> Settings:
    given: dict[str, object] = {"flask_token": secret_values.flask_token}
    if chosen.exchange == "replica":
        given["base_url"] = stack.replica_url
    settings = environment.settings_for(stack, **given)
    return environment.settings_for(stack, **given, dataset=choice.dataset(chosen, settings))


def _services(stack: StackSettings, chosen: Choice, settings: Settings) -> list[Service]:
    daemons = services.daemons(stack, settings)
    table = [*daemons]
    if chosen.exchange == "replica":
        table.append(services.replica(stack, chosen.replay))
    if settings.backup_folder:
        table.append(services.backup(stack, settings))
    return [*table, *services.airflow(stack), services.flask(stack, daemons), services.watchdog(stack)]
