"""Settings of the local stack, typed, read from the environment (prefix `UPBIT_RUN_`)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from upbit_elt.errors import ConfigError
from upbit_elt.stack.names import GREATEST_OFFSET, HOST, PORTS, REPO, variable
from upbit_elt.stack.preflight import MIN_FREE_GB, MIN_MEMORY_GB

Exchange = Literal["upbit", "replica"]
# A UNIX socket's path has 107 bytes, and supervisord first binds `<path>.<pid>`.
_SOCKET_ROOM = 95


def _port(name: str, what: str) -> Any:
    return Field(PORTS[name], gt=0, lt=65536, description=f"Port: {what}")


class StackSettings(BaseSettings):
    """Folders and loopback ports of one local stack."""

    model_config = SettingsConfigDict(env_prefix="UPBIT_RUN_", frozen=True, extra="ignore")

    data_dir: Path = Field(REPO / ".data", description="Everything the stack writes.")
    jars_dir: Path | None = Field(None, description="Hadoop and Hive jars; `jars` in the data folder by default.")
    dags_dir: Path = Field(REPO / "dags", description="Folder of the DAGs.")
    exchange: Exchange | None = Field(None, description="`upbit` or `replica`; by default what answers.")
    replay: Path | None = Field(None, description="Folder of Parquet candles that the replica replays.")
    min_free_gb: float = Field(MIN_FREE_GB, ge=0, description="Do not start with less free disk than this.")
    min_memory_gb: float = Field(MIN_MEMORY_GB, ge=0, description="Do not start with less memory than this.")

    port_offset: int = Field(0, ge=0, le=GREATEST_OFFSET, description="Added to all ports that are not set.")
    namenode_port: int = _port("namenode_port", "HDFS's own protocol.")
    namenode_http_port: int = _port("namenode_http_port", "WebHDFS.")
    datanode_port: int = _port("datanode_port", "Blocks of HDFS.")
    datanode_http_port: int = _port("datanode_http_port", "WebHDFS's data.")
    datanode_ipc_port: int = _port("datanode_ipc_port", "Between HDFS's daemons.")
    hive_port: int = _port("hive_port", "HiveServer2.")
    airflow_port: int = _port("airflow_port", "Airflow's pages and API.")
    flask_port: int = _port("flask_port", "The page.")
    replica_port: int = _port("replica_port", "The local exchange.")

    @model_validator(mode="before")
    @classmethod
    def _shifted(cls, given: dict[str, Any]) -> dict[str, Any]:
        try:
            offset = int(given.get("port_offset", 0))
        except (TypeError, ValueError):  # the field says what is wrong with it
            return given
        return {name: port + offset for name, port in PORTS.items()} | given

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
        ports = [*self.ports.values()]
        if twice := sorted({port for port in ports if ports.count(port) > 1}):
            raise ValueError(f"one port for two services: {', '.join(map(str, twice))}")
        return self

    @property
    def ports(self) -> dict[str, int]:
        """Every port by the name of its setting."""
        return {name: getattr(self, name) for name in PORTS}

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
        """The Flask service, as the other services and `./run` reach it; people open `Settings.page_url`."""
        return f"http://{HOST}:{self.flask_port}"

    @property
    def replica_url(self) -> str:
        """The replica, as `UPBIT_BASE_URL` takes it."""
        return f"http://{HOST}:{self.replica_port}"


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
