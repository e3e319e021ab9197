"""All settings of the pipeline, typed, read from the environment (prefix `UPBIT_ELT_`).

What `./run` itself needs (prefix `UPBIT_RUN_`) is read by `stack/options.py`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from upbit_elt.errors import ConfigError

REAL_ORIGIN = "https://api.upbit.com"
# Datasets of synthetic or replayed candles have names that begin with one of these.
REPLICAS = ("replica", "replay")
_PORTS = {"https": 443, "http": 80}


def origin_of(address: str) -> str:
    """Normalise an exchange's address as people write it to its origin, `https://host[:port][/prefix]`.

    A `/v1` at the end of the path belongs to the API and is removed. Upbit's own host always gets https.

    Raises:
        ValueError: the text is no address of a web server.
    """
    parts = urlsplit(address.strip())
    host, port = (parts.hostname or "").rstrip("."), parts.port
    if parts.scheme not in _PORTS or not host or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("write https://HOST or http://HOST:PORT, without a user, a query or a fragment")
    host = f"[{host}]" if ":" in host else host
    if port in (None, _PORTS[parts.scheme]) and host == urlsplit(REAL_ORIGIN).hostname:
        parts, port = parts._replace(scheme="https"), None
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{host}{'' if port in (None, _PORTS[parts.scheme]) else f':{port}'}{path}"


def default_dataset(base_url: str) -> str:
    """Default name of an origin's dataset: `upbit` for Upbit's own, `x_<host>` (31 characters at most) for others."""
    host = urlsplit(base_url).netloc
    return "upbit" if base_url == REAL_ORIGIN else f"x_{re.sub(r'[^a-z0-9]+', '_', host)}"[:31]


def is_upbit_exchange(base_url: str) -> bool:
    """Whether an origin is an exchange of Upbit, in any region; any other may be a replica."""
    host = urlsplit(base_url).hostname or ""
    return host == "upbit.com" or host.endswith(".upbit.com")


class Settings(BaseSettings):
    """Settings of one deployment. Durations are in seconds unless the name says minutes, hours or days."""

    model_config = SettingsConfigDict(env_prefix="UPBIT_ELT_", env_ignore_empty=True, frozen=True, extra="ignore")

    base_url: str = Field(
        REAL_ORIGIN,
        validation_alias=AliasChoices("UPBIT_BASE_URL", "base_url"),
        description="Origin of the exchange (name and form as in the official SDK); a /v1 at its end is removed.",
    )
    dataset: str = Field(
        default_factory=lambda known: default_dataset(known["base_url"]),
        pattern=r"^[a-z][a-z0-9_]{0,30}$",
        description="Name of the data: `upbit` for the real exchange; replicas and other exchanges have other names, "
        "hence another lake root and other databases, so that candles never mix. The default follows from `base_url`.",
    )
    quotes: Annotated[tuple[str, ...], NoDecode] = Field(("KRW",), description="Quote currencies to collect.")
    first_minutes: int = Field(200, ge=10, le=200, description="Minutes of history that the very first run fetches.")
    history_days: int = Field(7, ge=0, description="Days of history that are backfilled between live runs.")
    stale_minutes: int = Field(
        5, ge=3, description="Age at which a market counts as stale; there is a live run every 2 minutes."
    )
    close_wait_hours: int = Field(
        6,
        ge=0,
        description="A day that is over waits this long for its holes to be filled; then it is closed with them.",
    )
    state_dir: Path = Field(Path(".data/state"), description="Rate limit and ban state, shared on this machine.")
    requests_per_second: int = Field(10, ge=1, le=10, description="Per group, over all processes.")
    request_timeout: float = Field(10.0, gt=0)
    workers: int = Field(
        32,
        ge=1,
        le=64,
        description="Requests that one process has in flight at once; one that hangs holds one of these places, but "
        "uses up no rate limit.",
    )

    webhdfs_url: str = Field("http://localhost:9870", description="NameNode's WebHDFS address.")
    webhdfs_user: str = Field("upbit")
    webhdfs_auth: Literal["insecure", "token", "kerberos"] = Field("insecure", description="Authentication of WebHDFS.")
    webhdfs_token: SecretStr = Field(SecretStr(""), description="Delegation token, for `token`.")
    hdfs_uri: str = Field("hdfs://localhost:8020", description="The same file system, as Hive addresses it.")
    hive_host: str = Field("localhost")
    hive_port: int = Field(10000)
    hive_user: str = Field("upbit")
    hive_password: SecretStr = Field(SecretStr("unchecked"), description="HiveServer2 with NONE accepts any.")
    hive_timeout: float = Field(60.0, gt=0, description="Longest wait for one Hive call.")

    flask_url: str = Field(
        "http://localhost:5000", description="Where Airflow's tasks reach the Flask service; nothing shown to people."
    )
    page_url: str = Field(
        "",
        description="Where people's browsers reach the page, as https://upbit.example.com; empty: `flask_url`. The "
        "link in Airflow and all messages point there, and the service accepts requests under this name.",
    )
    flask_token: SecretStr = Field(SecretStr(""), description="Token for calls that write; empty switches them off.")

    webhook_file: Path | None = Field(
        None,
        description="File with the address of a Slack or Discord webhook that gets a line for each trouble; by default "
        "`webhook` in the state folder. Without the file nothing is sent.",
    )

    keep_generations_hours: int = Field(
        24,
        ge=1,
        description="An old snapshot of a day is removed this long after its successor was registered in Hive; longer "
        "than any query or training takes.",
    )
    keep_leftovers_hours: int = Field(24, ge=1, description="Age at which orphans of dead writers are removed.")
    keep_rejected_days: int = Field(30, ge=1, description="Age at which a day's quarantined rows are removed.")
    keep_forecast_days: int = Field(
        30, ge=0, description="Whole days of forecasts kept before the newest; 0: all. Candles are always kept."
    )
    keep_airflow_days: int = Field(14, ge=1, description="Age at which Airflow's runs and task logs are removed.")

    backup_folder: Path | None = Field(
        None,
        description="Folder of daily backups, of a disk other than the data's; empty: none are made by themselves.",
    )
    keep_backups: int = Field(7, ge=1, description="So many of the newest backups in the folder stay.")
    keep_backup_days: int = Field(30, ge=1, description="Then a backup goes too, but for the newest.")

    @field_validator("backup_folder")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    @field_validator("base_url")
    @classmethod
    def _origin(cls, value: str) -> str:
        return origin_of(value)

    @field_validator("page_url")
    @classmethod
    def _page(cls, value: str, info: ValidationInfo) -> str:
        parts = urlsplit(value.strip())
        if value and (parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc):
            raise ValueError("write https://HOST or http://HOST:PORT")
        return value.strip().rstrip("/") or info.data["flask_url"]

    @field_validator("dataset")
    @classmethod
    def _never_mixed(cls, value: str, info: ValidationInfo) -> str:
        """Synthetic candles never enter a lake of real ones, nor the reverse, because the names of datasets differ."""
        if (base_url := info.data.get("base_url")) is None:  # its own error is reported already
            return value
        advice = f"UPBIT_BASE_URL is {base_url}: leave UPBIT_ELT_DATASET empty, or choose another name"
        own = default_dataset(base_url)
        if value == "upbit" and base_url != REAL_ORIGIN:
            raise ValueError(f"`upbit` is the dataset of {REAL_ORIGIN} alone, and {advice}")
        if is_upbit_exchange(base_url) and value.startswith((*REPLICAS, "x_")) and not value.startswith(own):
            raise ValueError(f"`{value}` is the dataset of a replica or of another exchange, and {advice}")
        if not is_upbit_exchange(base_url) and not value.startswith((*REPLICAS, own)):
            begins = ", ".join((*REPLICAS, own))
            raise ValueError(f"`{value}` could hold real candles; {advice} that begins with one of {begins}")
        return value

    @field_validator("quotes", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip().upper() for part in value.split(",")) if isinstance(value, str) else value

    @property
    def lake_root(self) -> str:
        """Folder in HDFS that contains `/candle`, `/forecast` and `/model`; empty for the real exchange."""
        return "" if self.dataset == "upbit" else f"/{self.dataset}"

    @property
    def database(self) -> str:
        """Hive database of the candles and forecasts."""
        return "upbit_lake" if self.dataset == "upbit" else f"upbit_lake_{self.dataset}"

    @property
    def bi_database(self) -> str:
        """Hive database of the views for BI tools."""
        return "upbit_bi" if self.dataset == "upbit" else f"upbit_bi_{self.dataset}"


@lru_cache
def settings() -> Settings:
    """The settings of this process.

    Raises:
        ConfigError: a variable has a value that is not allowed.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})" for e in error.errors()]
        raise ConfigError("wrong settings in the environment: " + "; ".join(lines)) from None
