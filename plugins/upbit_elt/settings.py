"""All settings, typed, read from the environment (prefix `UPBIT_ELT_`). Nothing else reads the environment."""

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
# Names of lakes that hold made-up or replayed candles begin so.
REPLICAS = ("replica", "replay")
_PORTS = {"https": 443, "http": 80}


def origin_of(address: str) -> str:
    """The origin of an exchange, `https://host[:port][/prefix]`, of an address as people write it.

    A path that ends in `/v1` is the API's own and goes. Upbit's own host is only spoken to over TLS.

    Raises:
        ValueError: it is no address of a web server.
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


def named_after(base_url: str) -> str:
    """The dataset of an origin: `upbit` for Upbit's own, `x_<host>` (31 characters at most) for others."""
    host = urlsplit(base_url).netloc
    return "upbit" if base_url == REAL_ORIGIN else f"x_{re.sub(r'[^a-z0-9]+', '_', host)}"[:31]


def is_upbits(base_url: str) -> bool:
    """Whether an origin is one of Upbit's own exchanges, of any region; any other is a replica, or may be one."""
    host = urlsplit(base_url).hostname or ""
    return host == "upbit.com" or host.endswith(".upbit.com")


class Settings(BaseSettings):
    """Settings of one deployment. Durations in seconds, sizes in minutes or days as named."""

    model_config = SettingsConfigDict(env_prefix="UPBIT_ELT_", env_ignore_empty=True, frozen=True, extra="ignore")

    base_url: str = Field(
        REAL_ORIGIN,
        validation_alias=AliasChoices("UPBIT_BASE_URL", "base_url"),
        description="Origin of the exchange (the name and form that the official SDK uses); a /v1 at its end goes.",
    )
    dataset: str = Field(
        default_factory=lambda known: named_after(known["base_url"]),
        pattern=r"^[a-z][a-z0-9_]{0,30}$",
        description="What the data is: `upbit` for the real exchange; replicas and other exchanges use another name, "
        "and so another lake root and other databases, so that their candles never mix. It follows from `base_url`.",
    )
    quotes: Annotated[tuple[str, ...], NoDecode] = Field(("KRW",), description="Quote currencies to collect.")
    first_minutes: int = Field(200, ge=10, le=200, description="Minutes of history the very first run brings.")
    history_days: int = Field(7, ge=0, description="Days of history that follow behind the live runs.")
    stale_minutes: int = Field(
        5, ge=3, description="What is known of a market is stale when it is older; a live run comes every 2 minutes."
    )
    close_wait_hours: int = Field(
        6,
        ge=0,
        description="A day that is over waits this long for its holes to be healed; then it is closed with them.",
    )
    state_dir: Path = Field(Path(".data/state"), description="Rate limit and ban state, shared on this machine.")
    requests_per_second: int = Field(10, ge=1, le=10, description="Per group, over all processes.")
    request_timeout: float = Field(10.0, gt=0)
    workers: int = Field(
        32,
        ge=1,
        le=64,
        description="Requests under way at once in one process: one that hangs takes such a place, not a turn of the "
        "rate limit.",
    )

    webhdfs_url: str = Field("http://localhost:9870", description="NameNode's WebHDFS address.")
    webhdfs_user: str = Field("upbit")
    webhdfs_auth: Literal["insecure", "token", "kerberos"] = Field("insecure", description="How WebHDFS knows us.")
    webhdfs_token: SecretStr = Field(SecretStr(""), description="Delegation token, for `token`.")
    hdfs_uri: str = Field("hdfs://localhost:8020", description="The same file system as Hive names it.")
    hive_host: str = Field("localhost")
    hive_port: int = Field(10000)
    hive_user: str = Field("upbit")
    hive_password: SecretStr = Field(SecretStr("unchecked"), description="HiveServer2 with NONE accepts any.")
    hive_timeout: float = Field(60.0, gt=0, description="Longest wait for one Hive call.")

    flask_url: str = Field("http://localhost:5000", description="Where the DAGs reach the Flask service.")
    page_url: str = Field(
        "",
        description="Where people's browsers reach the page, as https://upbit.example.com; empty: as the DAGs do. The "
        "link in Airflow goes there, and the service answers to this name.",
    )
    flask_token: SecretStr = Field(SecretStr(""), description="Needed for calls that write; empty refuses all.")

    webhook_file: Path | None = Field(
        None,
        description="File with the address of a Slack or Discord webhook that is told what goes wrong; by default "
        "`webhook` in the state folder. Without the file nobody is told.",
    )

    keep_generations_hours: int = Field(
        24,
        ge=1,
        description="An old snapshot of a day goes this long after Hive has shown its successor; longer "
        "than any query or training runs.",
    )
    keep_leftovers_hours: int = Field(24, ge=1, description="Then what a writer that died left behind goes.")
    keep_rejected_days: int = Field(30, ge=1, description="Then a day's rejected rows go.")
    keep_forecast_days: int = Field(
        30, ge=0, description="Whole days of forecasts before the newest that stay; 0: all. Candles always stay."
    )
    keep_airflow_days: int = Field(14, ge=1, description="Then Airflow's runs and task logs go.")

    @field_validator("base_url")
    @classmethod
    def _origin(cls, value: str) -> str:
        return origin_of(value)

    @field_validator("page_url")
    @classmethod
    def _page(cls, value: str) -> str:
        parts = urlsplit(value.strip())
        if value and (parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc):
            raise ValueError("write https://HOST or http://HOST:PORT")
        return value.strip()

    @field_validator("dataset")
    @classmethod
    def _never_mixed(cls, value: str, info: ValidationInfo) -> str:
        """Made-up candles never enter a lake of Upbit's own, nor real ones a replica's: their names differ."""
        if (base_url := info.data.get("base_url")) is None:  # told already
            return value
        advice = f"UPBIT_BASE_URL is {base_url}: leave UPBIT_ELT_DATASET empty, or choose another name"
        own = named_after(base_url)
        if value == "upbit" and base_url != REAL_ORIGIN:
            raise ValueError(f"`upbit` is the dataset of {REAL_ORIGIN} alone, and {advice}")
        if is_upbits(base_url) and value.startswith((*REPLICAS, "x_")) and not value.startswith(own):
            raise ValueError(f"`{value}` is the dataset of a replica or of another exchange, and {advice}")
        if not is_upbits(base_url) and not value.startswith((*REPLICAS, own)):
            begins = ", ".join((*REPLICAS, own))
            raise ValueError(f"`{value}` could hold real candles; {advice} that begins with one of {begins}")
        return value

    @field_validator("quotes", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip().upper() for part in value.split(",")) if isinstance(value, str) else value

    @property
    def page(self) -> str:
        """Address of the page for people: `page_url`, or where the DAGs reach it."""
        return self.page_url or self.flask_url

    @property
    def lake_root(self) -> str:
        """Folder in HDFS under which `/candle`, `/forecast` and `/model` live; empty for the real exchange."""
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
