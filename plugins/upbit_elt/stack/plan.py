"""What one start consists of: the exchange, our settings, the services in order, and their environment."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from upbit_elt.settings import Settings
from upbit_elt.stack import airflow, choice, environment, secrets, services, supervision
from upbit_elt.stack.choice import Choice
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.secrets import Secrets
from upbit_elt.stack.services import Service


@dataclass(frozen=True)
class Plan:
    """Services in starting order; all of them get the same `variables` over the environment of `./run`."""

    choice: Choice
    settings: Settings
    secrets: Secrets
    services: list[Service]
    variables: dict[str, str]
    configuration: str

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
        """Changes when a running stack would have to be started anew to follow this plan."""
        lines = [self.configuration, *(f"{name}={value}" for name, value in sorted(self.variables.items()))]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def make(stack: StackSettings, chosen: Choice) -> Plan:
    """The plan for a choice. Makes the secrets when there are none yet.

    Raises:
        StackError: Java is missing, or the file of the secrets is damaged.
        pydantic.ValidationError: an `UPBIT_ELT_*` variable is wrong.
    """
    kept = secrets.load(stack.data_dir / "secrets.json")
    settings = _settings(stack, chosen, kept)
    table = _services(stack, chosen, settings)
    variables = (
        environment.common(stack)
        | environment.hadoop(stack)
        | environment.application(settings)
        | airflow.variables(stack, kept)
        | airflow.connections(stack, settings)
        | environment.proxies()
    )
    return Plan(chosen, settings, kept, table, variables, supervision.configuration(stack, table))


def _settings(stack: StackSettings, chosen: Choice, kept: Secrets) -> Settings:
    given: dict[str, object] = {"flask_token": kept.flask_token}
    if chosen.exchange == "replica":
        given["base_url"] = stack.replica_url
    settings = environment.settings_for(stack, **given)
    return environment.settings_for(stack, **given, dataset=choice.dataset(chosen, settings))


def _services(stack: StackSettings, chosen: Choice, settings: Settings) -> list[Service]:
    daemons = services.daemons(stack, settings)
    table = [*daemons]
    if chosen.exchange == "replica":
        table.append(services.replica(stack, chosen.replay))
    return [*table, *services.airflow(stack), services.flask(stack, daemons), services.watchdog(stack)]
