"""Passwords and keys of one stack: generated once, kept in a file that only its user can read."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from upbit_elt.errors import StackError
from upbit_elt.files import write_atomically


def _token() -> str:
    return secrets.token_urlsafe(48)  # 64 characters, as Airflow's signatures (SHA-512) want


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


class Secrets(BaseModel):
    """All generated secrets. The Fernet key has the form that Airflow wants (URL-safe base64 of 32 bytes)."""

    model_config = ConfigDict(frozen=True)

    airflow_password: str = Field(default_factory=lambda: secrets.token_urlsafe(12))
    airflow_fernet_key: str = Field(default_factory=_fernet_key)
    airflow_jwt_secret: str = Field(default_factory=_token)
    airflow_api_secret: str = Field(default_factory=_token)
    flask_token: str = Field(default_factory=_token)


def load(path: Path) -> Secrets:
    """Secrets of the file, which is made with new ones when it is not there.

    Raises:
        StackError: the file cannot be understood. It is never replaced: the Fernet key in it may be needed.
    """
    if not path.exists():
        write_private(path, Secrets().model_dump_json(indent=2))
    try:
        return Secrets.model_validate_json(path.read_text())
    except ValidationError as error:
        raise StackError(f"{path} is damaged ({error.error_count()} problems): restore it, or remove it") from None


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 600 so that it appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)  # runs, results and encrypted secrets lie beside it
    write_atomically(path, text, 0o600)
