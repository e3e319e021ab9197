"""The seed of a run."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session")
def seed() -> int:
    """UPBIT_FAULT_SEED makes another run; each prints its own."""
    return int(os.environ.get("UPBIT_FAULT_SEED", "20261125"))
