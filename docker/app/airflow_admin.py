"""Gives Airflow's user `admin` the password of AIRFLOW_ADMIN_PASSWORD, and makes the user when it is not there.

The command line could do it too, but would show the password to everyone who lists processes.
"""

from __future__ import annotations

import os
import sys

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

NAME = "admin"


def main() -> str | None:
    """Words of what went wrong, None when nothing did."""
    password = os.environ["AIRFLOW_ADMIN_PASSWORD"]
    with get_application_builder() as builder:
        manager = builder.sm
        user = manager.find_user(NAME)
        if user is None:
            done = manager.add_user(NAME, NAME, NAME, f"{NAME}@localhost", manager.find_role("Admin"), password)
        else:
            done = manager.reset_password(user.id, password)
        return None if done else f"Airflow's user {NAME} could not be made or changed; see the lines above"


if __name__ == "__main__":
    sys.exit(main())
