"""Settings of the local stack, typed, read from the environment (prefix `UPBIT_RUN_`)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from upbit_elt.errors import ConfigError

REPO = Path(__file__).resolve().parents[3]
HOST = "127.0.0.1"
Exchange = Literal["upbit", "replica"]
# A UNIX socket's path has 107 bytes, and supervisord first binds `<path>.<pid>`.
_SOCKET_ROOM = 95


class StackSettings(BaseSettings):
    """Folders and loopback ports of one local stack."""

    model_config = SettingsConfigDict(env_prefix="UPBIT_RUN_", frozen=True, extra="ignore")

    data_dir: Path = Field(REPO / ".data", description="Everything the stack writes.")
    jars_dir: Path | None = Field(None, description="Hadoop and Hive jars; `jars` in the data folder by default.")
    dags_dir: Path = Field(REPO / "dags", description="Folder of the DAGs.")
    exchange: Exchange | None = Field(None, description="`upbit` or `replica`; by default what answers.")
    replay: Path | None = Field(None, description="Folder of Parquet candles that the replica replays.")
    min_free_gb: float = Field(2.0, ge=0, description="Refuse to start with less free disk than this.")
    min_memory_gb: float = Field(4.0, ge=0, description="Refuse to start with less memory (10^9 bytes) than this.")

    namenode_port: int = Field(8020, gt=0, lt=65536)
    namenode_http_port: int = Field(9870, gt=0, lt=65536)
    datanode_port: int = Field(9866, gt=0, lt=65536)
    datanode_http_port: int = Field(9864, gt=0, lt=65536)
    datanode_ipc_port: int = Field(9867, gt=0, lt=65536)
    hive_port: int = Field(10000, gt=0, lt=65536)
    airflow_port: int = Field(8080, gt=0, lt=65536)
    flask_port: int = Field(5000, gt=0, lt=65536)
    replica_port: int = Field(8765, gt=0, lt=65536)

    @field_validator("data_dir", "jars_dir", "dags_dir", "replay")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().resolve()

    @field_validator("data_dir")
    @classmethod
    def _usable(cls, value: Path) -> Path:
        if bad := sorted(set(str(value)) & set(" ,;:%$\"'{}\n")):
            raise ValueError(f"the path may not contain {' '.join(map(repr, bad))}: Hadoop gives it a meaning")
        if len(os.fsencode(value / "run" / "supervisor.sock")) > _SOCKET_ROOM:
            raise ValueError("the path is too long for a UNIX socket in it; choose a shorter one")
        return value

    @field_validator("replay")
    @classmethod
    def _folder_of_candles(cls, value: Path | None) -> Path | None:
        if value is not None and not any(value.glob("*.parquet")):
            raise ValueError(f"no folder with *.parquet files: {value}")
        return value

    @model_validator(mode="after")
    def _agree(self) -> StackSettings:
        if self.replay and self.exchange == "upbit":
            raise ValueError("a replay needs the exchange `replica`")
        ports = [getattr(self, name) for name in port_names()]
        if twice := sorted({port for port in ports if ports.count(port) > 1}):
            raise ValueError(f"one port for two services: {', '.join(map(str, twice))}")
        return self

    @property
    def jars(self) -> Path:
        """Folder with `hadoop/` and `hive/`."""
        return self.jars_dir or self.data_dir / "jars"

    @property
    def run_dir(self) -> Path:
        """Supervisor's configuration, socket and process id."""
        return self.data_dir / "run"

    @property
    def logs_dir(self) -> Path:
        """One log file a service."""
        return self.data_dir / "logs"

    @property
    def airflow_home(self) -> Path:
        """Airflow's database, password file and task logs."""
        return self.data_dir / "airflow"

    @property
    def webhdfs_url(self) -> str:
        """The NameNode's web address."""
        return f"http://{HOST}:{self.namenode_http_port}"

    @property
    def airflow_url(self) -> str:
        """Airflow's user interface and API."""
        return f"http://{HOST}:{self.airflow_port}"

    @property
    def flask_url(self) -> str:
        """The page and the API of the forecasts."""
        return f"http://{HOST}:{self.flask_port}"

    @property
    def replica_url(self) -> str:
        """The replica, as `UPBIT_BASE_URL` takes it."""
        return f"http://{HOST}:{self.replica_port}"


def port_names() -> list[str]:
    """Names of the settings that are ports."""
    return [name for name in StackSettings.model_fields if name.endswith("_port")]


def variable(name: str) -> str:
    """Environment variable of a setting."""
    return f"UPBIT_RUN_{name.upper()}"


def load(**given: object) -> StackSettings:
    """Settings from the environment; what is given (and not None) goes first.

    Raises:
        ConfigError: a value is not allowed; the message names the variable.
    """
    try:
        return StackSettings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [f"{_where(e['loc'])}{e['msg'].removeprefix('Value error, ')}" for e in error.errors()]
        raise ConfigError("wrong settings: " + "; ".join(lines)) from None


def _where(location: tuple[int | str, ...]) -> str:
    return f"{variable(str(location[0]))}: " if location else ""
