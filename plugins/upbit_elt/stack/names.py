"""Names, places and default ports of a stack, needed before packages are there: the standard library alone."""

from __future__ import annotations

from pathlib import Path

REPO = Path(__file__).resolve().parents[3]
HOST = "127.0.0.1"
# Every process of a stack carries the stack's data folder in its environment; whoever has it belongs to the stack,
# also when its parent is gone.
MARKER = "UPBIT_RUN_STACK"
# The settings that are ports, and what they are without an offset.
PORTS = {
    "namenode_port": 8020,
    "namenode_http_port": 9870,
    "datanode_port": 9866,
    "datanode_http_port": 9864,
    "datanode_ipc_port": 9867,
    "hive_port": 10000,
    "airflow_port": 8080,
    "flask_port": 5000,
    "replica_port": 8765,
}
# Above it the shifted ports would be among those that the system gives to outgoing connections.
GREATEST_OFFSET = 20_000


def variable(name: str) -> str:
    """Environment variable of a setting."""
    return f"UPBIT_RUN_{name.upper()}"
