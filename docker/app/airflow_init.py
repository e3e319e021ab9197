"""Makes what Airflow needs beside its tables: the pool, and `admin` with the password of AIRFLOW_ADMIN_PASSWORD.

The command line could do it too, but would show the password to everyone who lists processes, and loads Airflow again
for each of the two.
"""

from __future__ import annotations

import os
import sys

from airflow.models.pool import Pool
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

NAME = "admin"
POOL = "upbit"


def admin(password: str) -> str | None:
    """Make the user, or give the one that is there the password. Words of what went wrong, None when nothing did."""
    with get_application_builder() as builder:
        manager = builder.sm
        user = manager.find_user(NAME)
        if user is None:
            done = manager.add_user(NAME, NAME, NAME, f"{NAME}@localhost", manager.find_role("Admin"), password)
        else:
            done = manager.reset_password(user.id, password)
        return None if done else f"Airflow's user {NAME} could not be made or changed; see the lines above"


def pool() -> None:
    """Make the pool; one that is there keeps the size that its user gave it."""
    if Pool.get_pool(POOL) is None:
        Pool.create_or_update_pool(POOL, 1, "one run at a time sends requests to the exchange", include_deferred=False)


if __name__ == "__main__":
    pool()
    sys.exit(admin(os.environ["AIRFLOW_ADMIN_PASSWORD"]))
